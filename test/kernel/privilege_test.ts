/** An unprivileged user: what is refused, with which message, and what still works. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { readFileSync, rmSync } from "node:fs";
import { frameOut } from "./frames.ts";
import { ending, openDirectory, Program, script, startListening, WITHOUT_NET_ADMIN, WITHOUT_PRIVILEGE } from "./runtime.ts";
import { sample, scene, send, tc, until, wire } from "./scene.ts";

scene("without privilege: samples are refused and the hint says why; events and the list work", "program:setpriv", async () => {
  wire();
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  const home = openDirectory();
  try {
    const words = [...WITHOUT_PRIVILEGE, ...script("test/kernel/unprivileged.ts")];
    await using program = new Program(words, { HOME: home, DENO_DIR: `${home}/deno` });
    await until(() => `it listens; so far it said ${JSON.stringify(program.err)}`, () => program.out === "listening\n");
    sample("a egress", "rate 1 group 2", "pref 2 matchall");
    tc("filter del dev a egress pref 1");
    const { status, out, err } = await program.ended;
    assertEquals([status, err], [0, ""]);
    const { refusal, all, groups, granted, events } = JSON.parse(out.split("\n")[1]!);
    assertEquals([refusal.name, refusal.code, refusal.errno], ["NetlinkError", "EPERM", 1]);
    assertEquals(refusal.op, "join the multicast group packets of psample");
    assertStringIncludes(refusal.message, "CAP_NET_ADMIN");
    assertStringIncludes(refusal.message, "Linux 6.7");
    assertStringIncludes(refusal.message, "run as root");
    assertEquals([all.code, all.errno], ["EPERM", 1]);
    assertStringIncludes(all.message, "CAP_NET_BROADCAST");
    assertEquals(groups, [{ group: 1, refcount: 1, sequence: 0 }]);
    // 32 MiB were requested: the listener knows what was granted, which depends on net.core.rmem_max.
    assertEquals(granted > 0 && granted <= 32 * 1024 * 1024, true);
    const common = { refcount: 0, sequence: 0, portId: 0 };
    assertEquals(events, [{ type: "group-created", group: 2, ...common }, { type: "group-deleted", group: 1, ...common }]);
  } finally {
    rmSync(home, { recursive: true });
  }
});

scene("without CAP_NET_ADMIN the command says what is missing, with status 1; -s and -l work", "program:setpriv", async () => {
  wire();
  sample("a egress", "rate 1 group 1", "pref 1 matchall");
  const psample = [...WITHOUT_NET_ADMIN, ...script("cli/main.ts")];
  const { status, out, err } = await ending(psample);
  assertEquals([status, out], [1, ""]);
  assertStringIncludes(err, "psample: Cannot join the multicast group packets of psample: operation not permitted (EPERM)");
  assertStringIncludes(err, "CAP_NET_ADMIN");
  assertEquals(err.trimEnd().split("\n").length, 1);

  await using events = await startListening([...psample, "-s"]);
  tc("filter del dev a egress pref 1");
  await until("the event is printed", () => events.out.endsWith("\n"));
  events.signal("SIGTERM");
  assertEquals((await events.ended).out, "deleted group 1 with current seq 0 \n");
  assertEquals((await events.ended).status, 0);
});

scene("--user: the command joins as root, and receives without any privilege", async () => {
  wire();
  sample("a egress", "rate 1 group 5");
  await using program = await startListening([...script("cli/main.ts"), "--user", "nobody", "--count", "2"]);
  const status = (): string => readFileSync(`/proc/${program.pid}/status`, "utf8");
  await until("it is nobody", () => /^NoNewPrivs:\s*1$/m.test(status()));
  assertEquals(/^Uid:\s*(.*)$/m.exec(status())![1], "65534\t65534\t65534\t65534");
  assertEquals(/^CapEff:\s*(.*)$/m.exec(status())![1], "0000000000000000");
  send("a", frameOut(), frameOut());
  const ended = await program.ended;
  assertEquals([ended.status, ended.out.trimEnd().split("\n").length], [0, 2], ended.err);
});
