/** Working in a named network namespace from outside: the process stays where it is. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  addAction,
  addSampling,
  ArgumentError,
  deleteAction,
  diagnose,
  type DiagnoseOptions,
  type Finding,
  getAction,
  listActions,
  listen,
  listGroups,
  listLeftovers,
  listLinks,
  listSampling,
  observeSampling,
  ownSamples,
  SystemError,
  watchLinks,
} from "../../mod.ts";
import { attachTcx, TCX_NEXT } from "./bpf.ts";
import { frameOut, inOrder } from "./frames.ts";
import { deviceNames, Named, threadNamespace } from "./namespace.ts";
import { linuxAtLeast } from "./needs.ts";
import { COMMANDS, ending, genericSocket, openDirectory, Program } from "./runtime.ts";
import { bareWire, Ear, IFINDEX, ip, run, sample, sampledInOrder, scene, send, soon, tc, until, wire } from "./scene.ts";

const PACKETS = inOrder(5, frameOut);
/** In that case samples without our cookie are not ours. */
const SENDS_COOKIES = linuxAtLeast("6.11");
const OUT = { outIfindex: IFINDEX.a };

/** The permissions that Deno requires; Bun has none. */
const READ = "--allow-read=/run/netns,/proc";

const CAPTURE = ["capture", "a", "--rate", "1", "--direction", "egress", "--text"];

/** Renames `a`, which must be down for that before Linux 6.3. */
function rename(): void {
  ip("link set dev a down", "link set dev a name renamed", "link set dev renamed up");
}

/** Words before a program that remove only the right to enter namespaces. */
const WITHOUT_SYS_ADMIN = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"];

async function hear(options: Parameters<typeof listen>[0]): Promise<Ear> {
  return new Ear(await soon(listen(options), "listen"));
}

/** Whether a process listens to samples in that namespace. */
function listens(there: Named, pid: number): boolean {
  // The family's groups follow the controller's, which is number 16.
  return (there.inside(() => genericSocket(pid, "thread-self"))?.groups ?? 0n) > 0x8000n;
}

async function started(there: Named, words: readonly string[]): Promise<Program> {
  const program = new Program(words);
  await until(() => `it listens; so far it said ${JSON.stringify(program.err + program.out)}`, () => listens(there, program.pid));
  return program;
}

scene(
  "sampling, listening and looking in another namespace: the thread stays, and so does everything here",
  "initial-namespace",
  async () => {
    using there = new Named();
    const netns = there.name;
    const home = threadNamespace();
    assert(home !== there.link);
    there.inside(wire);
    {
      await using sampling = await addSampling({ device: "a", direction: "egress", rate: 1, group: 5, netns });
      assertEquals(sampling.netns, netns);
      await using ear = await hear({ netns, groups: [5] });
      there.inside(() => send("a", ...PACKETS));
      await ear.hears(...sampledInOrder(PACKETS, { ...OUT, group: 5, cookie: SENDS_COOKIES ? sampling.installed[0]!.cookie : undefined }));
      await ear.hearsNoMore();

      assertEquals(await listGroups({ netns }), [{ group: 5, refcount: 1, sequence: 5 }]);
      assertEquals((await listSampling({ netns })).map(({ device, group, ours }) => [device, group, ours]), [["a", 5, true]]);
      assertEquals((await observeSampling({ netns, milliseconds: 1 })).map(({ sampling }) => sampling.device), ["a"]);
      assertEquals([...(await listLinks({ netns })).links()].map(({ name }) => name).sort(), there.inside(deviceNames).sort());
      assertEquals((await sampling.check()).map(({ verdict }) => verdict), ["good"]);
      assertEquals((await sampling.passed()).trials, 5n);
      assertEquals(await listLeftovers({ netns }), []);
      const { others, isOwn } = await ownSamples([sampling]);
      assertEquals([others, isOwn({ inIfindex: undefined, outIfindex: IFINDEX.a, cookie: undefined, nsid: undefined })], [
        [],
        !SENDS_COOKIES,
      ]);

      // Nothing of that is in this namespace.
      assertEquals([await listGroups(), await listSampling(), await observeSampling(), await listLeftovers()], [[], [], [], []]);
      assertEquals([...(await listLinks()).links()].map(({ name }) => name).sort(), deviceNames().sort());
      assertEquals(threadNamespace(), home);
    }
    assertEquals(await listSampling({ netns }), []);
    assertEquals(threadNamespace(), home);
  },
);

scene("shared actions, changing devices, and handles of several namespaces", "initial-namespace", async () => {
  using one = new Named();
  using two = new Named();
  one.inside(wire);
  two.inside(wire);
  const spec = { sample: { rate: 10, group: 3, index: 77 } };
  await addAction(spec, { netns: one.name });
  assertEquals((await getAction(77, { netns: one.name })).sample?.group, 3);
  assertEquals([(await listActions({ netns: one.name })).length, await listActions({ netns: two.name }), await listActions()], [1, [], []]);
  await deleteAction(77, { netns: one.name });
  assertEquals(await listActions({ netns: one.name }), []);

  using links = await watchLinks({ netns: one.name });
  assertEquals(links.find(IFINDEX.a, undefined)?.name, "a");
  one.inside(() => rename());
  await until("the new name is known", () => links.find(IFINDEX.a, undefined)?.name === "renamed");

  await using first = await addSampling({ device: "b", rate: 1, netns: one.name });
  await using second = await addSampling({ device: "b", rate: 1, netns: two.name });
  await assertRejects(() => ownSamples([first, second]), ArgumentError, "several network namespaces");
});

scene("two listeners in two namespaces at once, and a third here: each hears its own", "initial-namespace", async () => {
  using one = new Named();
  using two = new Named();
  const ears: Ear[] = [];
  for (const netns of [one.name, two.name, undefined]) ears.push(await hear({ netns, events: false }));
  const places = [one, two, { inside: <Result>(work: () => Result): Result => work() }];
  for (const place of places) {
    place.inside(() => {
      wire();
      sample("a egress", "rate 1 group 1");
    });
  }
  for (const [i, place] of places.entries()) place.inside(() => send("a", ...PACKETS.slice(i)));
  for (const [i, ear] of ears.entries()) {
    await using _ = ear;
    await ear.hears(...sampledInOrder(PACKETS.slice(i), { ...OUT, group: 1 }));
    await ear.hearsNoMore();
  }
});

scene("a namespace whose name is deleted during listening: samples and device names still arrive", "initial-namespace", async () => {
  using there = new Named();
  const netns = there.name;
  there.inside(wire);
  const listener = await soon(listen({ netns, events: false, wait: true }), "listen");
  await using sampling = await addSampling({ device: "a", direction: "egress", rate: 1, netns });
  const { link } = there;
  there.delete();
  there.inside(() => {
    rename();
    send("a", ...PACKETS);
  });
  const batch = (await soon(Promise.resolve(listener.read()), "a batch"))!;
  assertEquals([batch.entries[0]!.type, batch.device(0)?.name], ["sample", "renamed"]);
  await listener.close();
  assertEquals((await sampling.check()).map(({ verdict }) => verdict), ["good"]);

  const refused = await assertRejects(() => listGroups({ netns }), SystemError, "ip netns lists the names");
  assertEquals(refused.code, "ENOENT");
  // Another namespace has the name now, and nothing of ours is in it.
  run("ip", ["netns", "add", netns]);
  try {
    assert(readNamespace(netns) !== link);
    await sampling.remove();
    assertEquals(there.inside(() => run("tc", ["filter", "show", "dev", "renamed", "egress"])), "");
  } finally {
    run("ip", ["netns", "delete", netns]);
  }
});

/** The link of a namespace, as a process started in it sees it. */
function readNamespace(netns: string): string {
  return run("ip", ["netns", "exec", netns, "readlink", "/proc/self/ns/net"]).trim();
}

scene("what is not a namespace, or may not be entered, is an error with a cure; the thread stays", "initial-namespace", async () => {
  const home = threadNamespace();
  const directory = openDirectory();
  const file = join(directory, "file");
  writeFileSync(file, "");
  for (
    const [netns, code, text] of [
      ["nosuch-psample", "ENOENT", "There is no /run/netns/nosuch-psample: ip netns lists the names"],
      ["/proc/2147483647/ns/net", "ENOENT", "That of a process is /proc/PID/ns/net"],
      [file, "EINVAL", "is not a network namespace"],
      [directory, "EINVAL", "is not a network namespace"],
      ["/proc/self/ns/mnt", "EINVAL", "is not a network namespace"],
    ] as const
  ) {
    for (const ask of [() => listGroups({ netns }), () => listen({ netns }), () => addSampling({ device: "lo", rate: 1, netns })]) {
      const error = await assertRejects<Error>(ask, SystemError, text);
      assertEquals([(error as SystemError).code, threadNamespace()], [code, home]);
    }
  }
  rmSync(directory, { recursive: true });
});

scene("no thread of the process stays in the other namespace", "initial-namespace", async () => {
  using there = new Named();
  const { link } = there;
  for (let i = 0; i < 200; i++) await listGroups({ netns: there.name });
  const isThere = (task: string): boolean => {
    try {
      return readlinkSync(`/proc/self/task/${task}/ns/net`) === link;
    } catch {
      // It has ended.
      return false;
    }
  };
  // A compiler thread that the runtime starts at that very moment is there until it has nothing to do.
  await until("no thread is there", () => !readdirSync("/proc/self/task").some(isThere));
});

scene("earlier BPF programs are those of the other namespace's device", "initial-namespace", async () => {
  using there = new Named();
  there.inside(wire);
  await using sampling = await addSampling({ device: "a", direction: "egress", rate: 1, netns: there.name });
  const about = async (): Promise<string[]> => (await sampling.check()).map(({ about }) => about);
  assertEquals(await about(), ["reached"]);
  // Before Linux 6.6 there are none.
  if (there.inside(() => attachTcx("a", "egress", TCX_NEXT))) assertEquals(await about(), ["tcx"]);
});

/** The first fault found. */
async function fault(options: DiagnoseOptions): Promise<Finding | undefined> {
  return (await diagnose(options)).find(({ verdict }) => verdict === "bad");
}

scene("diagnose: findings and recommended commands are for the given namespace", "initial-namespace", async () => {
  using there = new Named();
  there.inside(bareWire);
  const { name: netns, link } = there;
  const all = await diagnose({ netns, milliseconds: 10 });
  const [identity] = all.filter(({ about }) => about === "identity");
  assertStringIncludes(identity!.what, `network namespace ${netns}, ${link}`);
  const missing = await fault({ device: "a", netns, milliseconds: 10 });
  assertEquals([missing!.about, missing!.cure?.startsWith(`tc -n ${netns} qdisc add dev a clsact; tc -n ${netns} filter add`)], [
    "not-sampled",
    true,
  ]);
  const unknown = await fault({ device: "a", milliseconds: 10 });
  assertEquals([unknown!.about, unknown!.cure], ["device-gone", "ip link lists the devices"]);
  const path = `/run/netns/${netns}`;
  const byPath = await fault({ device: "a", netns: path, milliseconds: 10 });
  assertStringIncludes(byPath!.cure!, `nsenter -n${path} tc qdisc add dev a clsact; nsenter -n${path} tc filter add`);
  // The recommended command helps: once it was run, nothing is wrong.
  for (const cure of [missing!.cure!, byPath!.cure!]) {
    assertEquals(run("sh", ["-c", cure]), "");
    assertEquals((await diagnose({ device: "a", netns, milliseconds: 10 })).filter(({ verdict }) => verdict === "bad"), []);
    there.inside(() => tc("qdisc del dev a clsact"));
  }
});

for (const { name, words } of COMMANDS) {
  const psample = words(READ);

  scene(`${name} --netns: samples, groups and sampling of another namespace`, "initial-namespace", async () => {
    using there = new Named();
    const { name: netns, link } = there;
    there.inside(() => {
      wire();
      sample("a egress", "rate 1 group 5", "pref 1 matchall");
    });
    await using monitor = await started(there, [...psample, "--netns", netns, "--details", "--count", "5"]);
    assert(readlinkSync(`/proc/${monitor.pid}/ns/net`) !== link);
    there.inside(() => send("a", ...PACKETS));
    const { status, out, err } = await monitor.ended;
    assertEquals([status, out.trimEnd().split("\n").length], [0, 5], err);
    assertStringIncludes(out, "out-name a ");
    assertEquals((await ending([...psample, "-l", "--netns", netns])).out.split("\n")[1]?.split(/\s+/).slice(0, 3), ["5", "1", "5"]);
    assertStringIncludes((await ending([...psample, "list", "--netns", netns, "--interval", "10ms"])).out, "\na       egress");
  });

  scene(`${name} --netns: top`, "initial-namespace", async () => {
    using there = new Named();
    there.inside(() => {
      wire();
      sample("a egress", "rate 1 group 5");
    });
    await using top = await started(there, [...psample, "top", "--netns", there.name, "--interval", "500ms", "--json", "--by", "device"]);
    there.inside(() => send("a", ...PACKETS));
    await until(() => `it reports; so far ${JSON.stringify(top.err)}`, () => top.out.includes("\n"));
    top.signal("SIGTERM");
    const { status, out, err } = await top.ended;
    assertEquals([status, JSON.parse(out.split("\n")[0]!).device], [0, "a"], err);
  });

  scene(`${name} --netns: doctor, and tc like the real one`, "initial-namespace", async () => {
    using there = new Named();
    const { name: netns } = there;
    there.inside(() => {
      wire();
      sample("a egress", "rate 1 group 5", "pref 1 matchall");
    });
    const doctor = await ending([...psample, "doctor", "--netns", netns, "--interval", "10ms", "a"]);
    assertEquals([doctor.status, doctor.out.includes("a egress pref 1 samples 1 in 1 into group 5")], [0, true], doctor.out);
    const show = ["-n", netns, "filter", "show", "dev", "a", "egress"];
    const real = run("tc", show);
    assert(real.includes("sample rate"));
    assertEquals((await ending([...psample, "tc", ...show])).out, real);
    const deleted = await ending([...psample, "tc", "--netns", netns, "qdisc", "del", "dev", "a", "clsact"]);
    assertEquals([deleted.status, deleted.err, there.inside(() => run("tc", ["qdisc", "show", "dev", "a"])).includes("clsact")], [
      0,
      "",
      false,
    ]);
  });

  scene(`${name} --netns: capture`, "initial-namespace", async () => {
    using there = new Named();
    const { name: netns } = there;
    there.inside(wire);
    const filters = (): string => there.inside(() => run("tc", ["filter", "show", "dev", "a", "egress"]));

    {
      await using program = await started(there, [...psample, ...CAPTURE, "--netns", netns, "--count", "5"]);
      there.inside(() => send("a", ...PACKETS));
      const { status, out, err } = await program.ended;
      assertEquals([status, out.trimEnd().split("\n").length], [0, 5], err);
      assertStringIncludes(err, `sampling a in the network namespace ${netns}, 1 in 1`);
      assertEquals(filters(), "");
    }
  });

  scene(`${name} --netns: the namespace of a process; what a killed psample left there is cleaned up`, "initial-namespace", async () => {
    using there = new Named();
    const { name: netns } = there;
    there.inside(wire);
    const filters = (): string => there.inside(() => run("tc", ["filter", "show", "dev", "a", "egress"]));
    {
      await using sleeper = new Program(["ip", "netns", "exec", netns, "sleep", "1000"]);
      const path = `/proc/${sleeper.pid}/ns/net`;
      await until("the process is there", () => readlinkSync(path) === there.link);
      await using program = await started(there, [...psample, ...CAPTURE, "--netns", path]);
      assert(filters().includes("sample"));
      program.signal("SIGKILL");
      await program.ended;
    }
    assert(filters().includes("sample"));
    const elsewhere = await ending([...psample, "cleanup"]);
    assertStringIncludes(elsewhere.err, "nothing was left behind");
    const { status, out, err } = await ending([...psample, "cleanup", "--netns", netns]);
    assertEquals([status, out.startsWith("removed a egress pref "), filters()], [0, true, ""], err);
  });

  scene(`${name} --netns --user: entered before privileges are dropped, and cleaned up after`, "initial-namespace", async () => {
    using there = new Named();
    const { name: netns } = there;
    there.inside(wire);
    const capture = [
      "capture",
      "a",
      "--rate",
      "1",
      "--group",
      "5",
      "--direction",
      "egress",
      "--packets",
      "--netns",
      netns,
      "--user",
      "nobody",
    ];
    await using program = await started(there, [...psample, ...capture]);
    const status = (): string => readFileSync(`/proc/${program.pid}/status`, "utf8");
    await until("it is nobody", () => /^NoNewPrivs:\s*1$/m.test(status()));
    // Only now, when nothing more can be opened there.
    there.inside(() => rename());
    there.inside(() => send("a", ...PACKETS));
    await until(() => `it prints; so far ${JSON.stringify(program.err)}`, () => program.out.includes("renamed"));
    program.signal("SIGTERM");
    const ended = await program.ended;
    assertEquals([ended.status, ended.err.includes("lost 0")], [0, true], ended.err);
    assertEquals(there.inside(() => run("tc", ["filter", "show", "dev", "renamed", "egress"])), "");
  });

  scene(`${name} --netns: without the right to enter it, and if there is none`, "initial-namespace", "program:setpriv", async () => {
    using there = new Named();
    const { name: netns } = there;
    const tcSays = await ending([...psample, "tc", "-n", "nosuch", "qdisc"]);
    assertEquals([tcSays.status, tcSays.out], [spawnSync("tc", ["-n", "nosuch", "qdisc"]).status, ""]);
    assertStringIncludes(tcSays.err, "Cannot enter the network namespace nosuch");
    const forbidden = await ending([...WITHOUT_SYS_ADMIN, ...psample, "--netns", netns]);
    assertEquals([forbidden.status, forbidden.out], [1, ""]);
    assertStringIncludes(forbidden.err, `psample: Cannot enter the network namespace ${netns}: operation not permitted (EPERM)`);
    assertStringIncludes(forbidden.err, "CAP_SYS_ADMIN");
  });
}
