/** Diagnosing on a scripted kernel: sandboxes, vendors' kernels, containers. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { diagnoseWith } from "../../src/control/diagnose.ts";
import type { Finding } from "../../src/control/finding.ts";
import { checkPrerequisites } from "../../src/control/prerequisites.ts";
import { ArgumentError } from "../../src/errors.ts";
import { type Memory, NETLINK_ROUTE } from "../../src/sys/sys.ts";
import { FakeSys } from "../fake_sys.ts";
import { doneMessage } from "../support/messages.ts";

/** A kernel that has no devices, and links of /proc as given. */
class Kernel extends FakeSys {
  links: Record<string, string> = {};
  /** The result of socket(2) for a protocol. */
  refused = new Map<number, number>();

  constructor(...args: ConstructorParameters<typeof FakeSys>) {
    super(...args);
    const controller = this.answer;
    this.answer = (request, socket) => {
      if (socket.protocol === NETLINK_ROUTE) this.reply(socket, doneMessage(request.sequence));
      else controller(request, socket);
    };
  }

  override socket(domain: number, type: number, protocol: number): number {
    const errno = this.refused.get(protocol);
    return errno ? -errno : super.socket(domain, type, protocol);
  }

  override readlink(path: Memory, into: Memory): number {
    const target = this.links[new TextDecoder().decode(path).slice(0, -1)];
    return target === undefined ? -2 : new TextEncoder().encodeInto(target, into).written;
  }
}

function verdicts(findings: readonly Finding[]): Record<string, string> {
  return Object.fromEntries(findings.map(({ about, verdict }) => [about, verdict]));
}

async function prerequisites(kernel: Kernel): Promise<readonly Finding[]> {
  const { findings } = await checkPrerequisites(kernel);
  kernel.assertClean();
  return findings;
}

test("as it should be", async () => {
  const findings = await prerequisites(new Kernel());
  assertEquals(verdicts(findings), {
    "runtime": "good",
    "identity": "note",
    "family": "good",
    "events": "good",
    "samples": "good",
    "buffer": "good",
    "other-namespaces": "good",
  });
});

test("without privilege: samples are refused, with a cure; the rest are notes", async () => {
  const findings = await prerequisites(new Kernel({ unprivileged: true }));
  assertEquals(verdicts(findings), {
    "runtime": "good",
    "identity": "note",
    "family": "good",
    "events": "good",
    "samples": "bad",
    "buffer": "note",
    "other-namespaces": "note",
  });
  const samples = findings.find(({ about }) => about === "samples")!;
  assertEquals(samples.what, "Cannot join the multicast group of psample's samples: operation not permitted (EPERM)");
  assertMatch(samples.cure!, /^run as root/);
});

test("no psample module", async () => {
  const findings = await prerequisites(new Kernel({ noFamily: true }));
  assertEquals(verdicts(findings), { runtime: "good", identity: "note", family: "bad" });
  assertMatch(findings.at(-1)!.cure!, /modprobe psample/);
});

test("a vendor's psample without group events: samples can be received, so that is no fault", async () => {
  const kernel = new Kernel();
  kernel.family = { id: 30, name: "psample", groups: { packets: 41 } };
  const findings = await prerequisites(kernel);
  assertEquals([verdicts(findings).events, verdicts(findings).samples], ["note", "good"]);
  assertEquals(findings.filter(({ verdict }) => verdict === "bad"), []);
});

test("a psample without samples is one", async () => {
  const kernel = new Kernel();
  kernel.family = { id: 30, name: "psample", groups: { config: 40 } };
  assertEquals(verdicts(await prerequisites(kernel)).samples, "bad");
});

test("a sandbox without generic netlink: the cure, and still tc's part", async () => {
  for (const [errno, cure] of [[93, /gVisor/], [97, /RestrictAddressFamilies=/], [1, /seccomp/]] as const) {
    const kernel = new Kernel();
    kernel.refused.set(16, errno);
    const findings = await diagnoseWith(kernel, { group: 5, milliseconds: 1 });
    assertEquals(findings.map(({ verdict, about }) => `${verdict} ${about}`), ["bad socket", "bad not-sampled"]);
    assertMatch(findings[0]!.what, /^Cannot open a generic netlink socket: [a-z ]+\(E[A-Z]+\)$/);
    assertMatch(findings[0]!.cure!, cure);
    kernel.assertClean();
    // Without both, each says so.
    kernel.refused.set(0, errno);
    const none = await diagnoseWith(kernel, { group: 5, milliseconds: 1 });
    assertEquals(none.map(({ verdict, about }) => `${verdict} ${about}`), ["bad socket", "bad socket"]);
    assertMatch(none[1]!.what, /routing netlink/);
    kernel.assertClean();
  }
});

test("a group that nothing samples into, a device that does not exist; and who listens", async () => {
  const kernel = new Kernel();
  kernel.groups = [{ group: 5, refcount: 1, sequence: 3 }];
  const group = await diagnoseWith(kernel, { group: 7, milliseconds: 1 });
  assertEquals(group.map(({ verdict, about }) => `${verdict} ${about}`), ["note listeners", "bad not-sampled"]);
  assertEquals(group[0]!.what, "nobody in this network namespace listens to samples now");
  assertEquals(group[1]!.what, "nothing samples into group 7 here, and no sample arrived in 1 ms; sampled groups: 5");
  const device = await diagnoseWith(kernel, { device: "e\u202e", milliseconds: 1 });
  assertEquals(device.at(-1)!.what, "this network namespace has no device e\\xe2\\x80\\xae");
  kernel.assertClean();
  await assertRejects(() => diagnoseWith(kernel, { group: -1 }), ArgumentError, "There is no group -1");
});

test("whether anybody listens is not known without netlink_diag, and counted with it", async () => {
  const kernel = new Kernel();
  kernel.refused.set(4, 93);
  const [listeners] = await diagnoseWith(kernel, { group: 7, milliseconds: 1 });
  assertEquals([listeners!.verdict, listeners!.what], [
    "note",
    "whether anybody listens to samples is not known: the kernel has no netlink_diag",
  ]);
  kernel.refused.clear();
  const fd = kernel.socket(16, 3, 16);
  kernel.fds.get(fd)!.groups.add(41);
  const [one] = await diagnoseWith(kernel, { group: 7, milliseconds: 1 });
  assertEquals([one!.verdict, one!.what], ["good", "1 socket listens to samples in this network namespace now"]);
  kernel.close(fd);
  kernel.assertClean();
});

test("namespaces: only the host's is called so", async () => {
  const said = async (links: Record<string, string>): Promise<string> => {
    const kernel = new Kernel();
    kernel.links = links;
    return (await prerequisites(kernel)).find(({ about }) => about === "identity")!.what.replace("effective user id 0; ", "");
  };
  const host = { "/proc/self/ns/pid": "pid:[4026531836]", "/proc/self/ns/user": "user:[4026531837]" };
  const cases: [Record<string, string>, string][] = [
    [{}, "network namespace unknown: /proc is not mounted"],
    [
      { ...host, "/proc/thread-self/ns/net": "net:[4026531992]", "/proc/1/ns/net": "net:[4026531992]" },
      "network namespace net:[4026531992], the host's",
    ],
    [
      { ...host, "/proc/thread-self/ns/net": "net:[4026532500]", "/proc/1/ns/net": "net:[4026531992]" },
      "network namespace net:[4026532500], not the host's (net:[4026531992]): what is sampled there does not arrive here",
    ],
    [{ ...host, "/proc/thread-self/ns/net": "net:[4026532500]" }, "network namespace net:[4026532500]"],
    // Since Linux 6.18 the first network namespace has a number that never changes.
    [
      { "/proc/thread-self/ns/net": "net:[4026531833]", "/proc/self/ns/pid": "pid:[4026532777]" },
      "network namespace net:[4026531833], the host's",
    ],
    // In a container process 1 is the container's, whose network namespace may be the host's or not.
    [
      { "/proc/thread-self/ns/net": "net:[4026532500]", "/proc/1/ns/net": "net:[4026532500]", "/proc/self/ns/pid": "pid:[4026532777]" },
      "network namespace net:[4026532500], in a container: whether it is the host's cannot be told from here",
    ],
    [
      { ...host, "/proc/thread-self/ns/net": "net:[4026532500]", "/proc/self/ns/user": "user:[4026532600]" },
      "network namespace net:[4026532500], in a user namespace of its own",
    ],
  ];
  for (const [links, expected] of cases) {
    const what = await said(links);
    assertEquals(what, expected);
    assert(!what.includes("process 1"));
  }
});
