/** More samples than any process can handle: it receives what it can, counts the rest, and is unchanged afterwards. */
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { MemoryGroup } from "./cgroup.ts";
import { accountsFor, hearsOneMore, holdings, Load } from "./load.ts";
import { COMMANDS, startListening, writingTo } from "./runtime.ts";
import { say, scene, until, wire } from "./scene.ts";

/** As many as the kernels can generate with a chain of actions, on an otherwise idle machine. */
const STORM_RATE = 300_000;
/** An emulated processor generates a tenth of that, and slowly. */
const STORM_SECONDS = Number(process.env.PSAMPLE_STORM_SECONDS ?? (process.env.PSAMPLE_GUEST === "new" ? 60 : 10));
/** Memory that the process may use: half of that is the runtime. */
const MEMORY_BYTES = 150_000_000;
/** Growth allowed after a storm: compiled code, and heap that was not returned. */
const GROWTH_KIB = 48 * 1024;

/** Four groups, and each packet is sampled eight times into each. */
function storm(): Load {
  return new Load([5, 6, 7, 4294967295], 32, "trunc 128");
}

scene("a storm: received and lost add up to what was sent, and the process is unchanged", async () => {
  wire();
  using load = storm();
  await using program = await startListening(writingTo("/dev/null", [...COMMANDS[0]!.words(), "-c"]));
  // Warm up: what a process allocates for its first samples it keeps.
  await load.offer(STORM_RATE / 10, 1);
  const usualMs = await hearsOneMore(program, load);
  const before = holdings(program.pid);
  const sent = load.sent;
  const rate = await load.offer(STORM_RATE, STORM_SECONDS);
  const took = await hearsOneMore(program, load);
  // The runtime's own threads come and go, and so do descriptors: after an overflow the kernel is asked again.
  await until(() => `it holds what it held before: ${JSON.stringify([before, holdings(program.pid)])}`, () => {
    const { threads, descriptors } = holdings(program.pid);
    return threads <= before.threads && descriptors === before.descriptors;
  });
  const after = holdings(program.pid);
  assert(after.residentKiB <= before.residentKiB + GROWTH_KIB, `${before.residentKiB} KiB before, ${after.residentKiB} after`);
  assert(after.peakKiB * 1024 <= MEMORY_BYTES, `it had ${after.peakKiB} KiB in between`);
  // Idle processes are woken within milliseconds; a second is for one that is not. On a busy machine it took long before the storm, too.
  assert(took < Math.max(1000, 20 * usualMs), `one more sample took ${took} ms, and ${usualMs} ms before the storm`);
  const { received, lost } = await accountsFor(program, load);
  say(
    `${Math.round(rate)} samples a second for ${STORM_SECONDS} s, ${load.sent - sent} in all; received ${received}, lost ${lost}; ` +
      `${before.residentKiB} KiB before, ${after.peakKiB} at most, ${after.residentKiB} after; one more took ${Math.round(took)} ms`,
  );
});

scene(
  "150 MB of memory and no more: a fast load does not kill it, and received and lost add up to what was sent",
  "controller:memory",
  async () => {
    wire();
    using load = storm();
    using group = new MemoryGroup(MEMORY_BYTES);
    await using program = await startListening(group.inside(writingTo("/dev/null", [...COMMANDS[0]!.words(), "-c"])));
    await hearsOneMore(program, load);
    const rate = await load.offer(STORM_RATE, 10);
    await hearsOneMore(program, load);
    assertEquals(group.killed(), 0);
    const used = group.usedBytes();
    assert(used > 10_000_000, `it has ${used} bytes of the group's memory: it is not inside`);
    const { received, lost } = await accountsFor(program, load);
    say(`${Math.round(rate)} samples a second to a process that has ${used} bytes; received ${received}, lost ${lost}`);
  },
);
