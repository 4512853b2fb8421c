/** How processes that sample know of each other: a running one is left alone, a killed one is cleaned up after. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { addSampling, cleanUpSampling, listLeftovers } from "../../mod.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NETLINK_USERSOCK } from "../../src/sys/sys.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { openDirectory, Program, script, WITHOUT_PRIVILEGE } from "./runtime.ts";
import { ip, pause, run, scene, tc, until } from "./scene.ts";
import { tcDump, tcFilters } from "./tc_dump.ts";

const MARK = 0x70730000;
const LOCK_PORT = 0x70738000;

const sys = await loadSys();

function dummy(): string {
  ip("link add name d0 type dummy", "link set dev d0 up");
  return tcDump("d0");
}

/** What a psample with the number 0x123 left behind, on a clsact that it created. */
function leaveBehind(): void {
  tc(
    "qdisc add dev d0 clsact",
    "filter add dev d0 ingress pref 28787 handle 0x70738123 matchall action sample rate 5 group 70000 continue",
  );
}

/** How long a process takes to begin and end sampling for the first time, in milliseconds. */
async function firstCycle(words: readonly string[]): Promise<number> {
  await using program = new Program(words);
  await until("it has begun", () => program.out.includes("ready"));
  const began = performance.now();
  await until("it has sampled once", () => program.out.includes("once"));
  const ms = performance.now() - began;
  program.signal("SIGKILL");
  await program.ended;
  return ms;
}

scene("killed at any moment: cleaning up leaves what was there before", "module:dummy", async () => {
  const before = dummy();
  // Killed while the kernel loads a module, it would leave an empty clsact, which nobody can tell from another's.
  await (await addSampling({ device: "d0", rate: 1 })).remove();
  const words = [...script("test/kernel/endless_sampling.ts"), "d0"];
  const cycleMs = await firstCycle(words);
  assertEquals((await cleanUpSampling()).kept, []);
  let killedWithFilters = 0;
  // As often as time allows: an emulated processor on a busy machine takes seconds to start a program.
  const deadline = Date.now() + 60_000;
  for (let i = 0; (i < 25 && Date.now() < deadline) || (killedWithFilters === 0 && i < 40); i++) {
    await using program = new Program(words);
    await until("it has begun", () => program.out.includes("ready"));
    const ms = cycleMs * (i % 8) / 6;
    await pause(ms);
    program.signal("SIGKILL");
    await program.ended;
    if (tcFilters(["d0"]).length > 0) killedWithFilters++;
    assertEquals((await cleanUpSampling()).kept, []);
    assertEquals(tcDump("d0"), before, `after ${ms} ms`);
  }
  assert(killedWithFilters > 0, "it was never killed with filters in the kernel");
});

scene(
  "a user without any right holds our ports: nobody waits for it, and a leftover is found",
  "module:dummy",
  "program:setpriv",
  async () => {
    const before = dummy();
    const home = openDirectory();
    const words = [...WITHOUT_PRIVILEGE, ...script("test/kernel/unprivileged_ports.ts")];
    const ports = [LOCK_PORT, LOCK_PORT + 1, MARK + 0x123].map(String);
    await using program = new Program([...words, ...ports], { HOME: home, DENO_DIR: `${home}/deno` });
    await until(() => `it holds them; so far it said ${program.err}`, () => program.out.includes("\n"));
    assertEquals(JSON.parse(program.out), [[], [], []], "it has joined a group");
    // The ports are not given up: waiting for one would end with a warning.
    await (await addSampling({ device: "d0", rate: 1, onWarning: (message) => assert(false, message) })).remove();
    assertEquals(tcDump("d0"), before);
    leaveBehind();
    assertEquals((await listLeftovers()).map(({ handle }) => handle), [0x70738123]);
    const { removed, kept } = await cleanUpSampling();
    assertEquals([removed.length, kept], [1, []]);
    assertEquals(tcDump("d0"), before);
  },
);

scene(
  "a kernel without netlink_diag: what may be somebody's is kept, the command says why, and --force removes it",
  "module:dummy",
  "guest",
  async () => {
    const before = dummy();
    // Loads the modules for sampling, which no scene before this one may have done.
    await (await addSampling({ device: "d0", rate: 1 })).remove();
    const loader = "/proc/sys/kernel/modprobe";
    const modprobe = readFileSync(loader, "utf8");
    spawnSync("modprobe", ["-r", "netlink_diag"]);
    writeFileSync(loader, "/bin/false");
    try {
      // Alive: two at once, one after the other, and nothing left.
      const handles = await Promise.all([1, 2].map(() => addSampling({ device: "d0", rate: 1 })));
      assertEquals((await cleanUpSampling()).kept.map(({ reason }) => reason), ["unverified", "unverified", "unverified", "unverified"]);
      for (const handle of handles) await handle.remove();
      assertEquals(tcDump("d0"), before);
      // Gone, and its port is free.
      leaveBehind();
      assertEquals((await cleanUpSampling()).removed.length, 1);
      assertEquals(tcDump("d0"), before);
      // Gone, and somebody holds its port.
      leaveBehind();
      const holder = new NetlinkSocket(sys, NETLINK_USERSOCK, MARK + 0x123);
      try {
        for (
          const [words, status, out, err] of [
            [
              "cleanup --dry-run",
              1,
              /^$/,
              /^psample: kept d0 ingress pref 28787 .*: a process holds the netlink port .* psample cleanup --force\n$/,
            ],
            ["cleanup", 1, /^$/, /^psample: kept d0 ingress .*\n$/],
            ["cleanup --force --dry-run", 0, /^would remove d0 ingress .*\n$/, /^$/],
            ["cleanup --force", 0, /^removed d0 ingress pref 28787 \(rate 5, group 70000\)\n$/, /^$/],
          ] as const
        ) {
          const io = fakeIo();
          assertEquals(await main(words.split(" "), io), status, words);
          assertMatch(io.text(), out, words);
          assertMatch(io.errors(), err, words);
        }
        assertEquals(tcDump("d0"), before);
      } finally {
        holder.close();
      }
    } finally {
      writeFileSync(loader, modprobe);
      run("modprobe", ["netlink_diag"]);
    }
  },
);
