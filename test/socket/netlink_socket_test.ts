import { test } from "node:test";
import { assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { DecodeError, NetlinkError } from "../../src/errors.ts";
import { NetlinkSocket } from "../../src/socket/netlink_socket.ts";
import { Requests } from "../../src/socket/requests.ts";
import { EAGAIN, EBADF, EINTR, EINVAL, ENOBUFS, EPERM, type Memory, NETLINK_GENERIC, NETLINK_ROUTE } from "../../src/sys/sys.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_MULTI, NLM_F_REQUEST } from "../../src/wire/message.ts";
import { LITTLE, viewOf } from "../../src/wire/native.ts";
import { type FakeSocket, FakeSys } from "../fake_sys.ts";
import { ackMessage, doneMessage, joined } from "../support/messages.ts";

const DUMP_INTR = 0x10;

function get(): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: 99, flags: NLM_F_REQUEST }, new Uint8Array(4));
}

function dump(): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: 99, flags: NLM_F_REQUEST | NLM_F_DUMP }, new Uint8Array(4));
}

/** One entry of an answer. */
function entry(sequence: number, value: number, flags = NLM_F_MULTI): Uint8Array<ArrayBuffer> {
  return encodeMessage({ type: 99, flags, sequence }, new Uint8Array([value, 0, 0, 0]));
}

function values(messages: Message[]): number[] {
  return messages.map((message) => message.payload[0]!);
}

/** Long enough for a busy machine, and short enough for tests of requests that are never answered. */
const DEADLINE_MS = 1000;

/** A test of requests that `answer` answers; everything is closed afterwards. */
function answered(
  name: string,
  answer: (request: Message, socket: FakeSocket, sys: FakeSys) => void,
  run: (requests: Requests, sys: FakeSys) => Promise<void>,
): void {
  test(name, async () => {
    const sys = new FakeSys();
    sys.answer = (request, socket) => answer(request, socket, sys);
    const requests = new Requests(sys, NETLINK_ROUTE, DEADLINE_MS);
    try {
      await run(requests, sys);
    } finally {
      requests.close();
    }
    sys.assertClean();
  });
}

// ---- the socket

test("NetlinkSocket opens without blocking and without leaking into children, and closes once", () => {
  const sys = new FakeSys();
  const asked: number[][] = [];
  const { socket } = sys;
  sys.socket = (...args) => {
    asked.push(args);
    return socket.apply(sys, args);
  };
  const one = new NetlinkSocket(sys, NETLINK_GENERIC);
  assertEquals(asked, [[16, 3 | 0x800 | 0x80000, 16]]);
  assertEquals([one.fd, one.portId], [3, 1000]);
  one.close();
  one.close();
  assertEquals(one.fd, -1);
  sys.assertClean();
});

test("if a sandbox or the kernel refuses a socket, the error says which one and what helps, for every caller", () => {
  const refusals: [errno: number, protocol: number, said: RegExp][] = [
    [93, NETLINK_GENERIC, /^Cannot open a generic netlink socket: .*\(EPROTONOSUPPORT\)\. .*gVisor/],
    [97, NETLINK_ROUTE, /^Cannot open a routing netlink socket: .*\(EAFNOSUPPORT\)\. .*RestrictAddressFamilies=/],
    [1, NETLINK_GENERIC, /\(EPERM\)\. A sandbox forbids it \(seccomp/],
    [13, NETLINK_GENERIC, /\(EACCES\)\. A sandbox forbids it/],
    [38, 2, /^Cannot open a netlink socket: .*\(ENOSYS\)\. A sandbox forbids it/],
    [24, NETLINK_GENERIC, /\(EMFILE\)\. This process may not open more files/],
  ];
  for (const [errno, protocol, said] of refusals) {
    const sys = new FakeSys();
    sys.fail("socket", errno);
    assertMatch(assertThrows(() => new NetlinkSocket(sys, protocol), NetlinkError).message, said);
    sys.assertClean();
  }
});

test("NetlinkSocket.option tells whether the kernel knows the option", () => {
  const sys = new FakeSys();
  const socket = new NetlinkSocket(sys, NETLINK_GENERIC);
  assertEquals(socket.option(270, 11, 1), true);
  sys.fail("setsockopt", 92);
  assertEquals(socket.option(270, 12, 1), false);
  socket.close();
});

test("NetlinkSocket.receive returns 0 if there is nothing, and continues after EINTR and ENOBUFS", () => {
  const sys = new FakeSys();
  const socket = new NetlinkSocket(sys, NETLINK_GENERIC);
  const batch = socket.batch(4, { senders: true });
  assertEquals(socket.receive(batch), 0);
  sys.fail("recvmmsg", EINTR, ENOBUFS, EINTR);
  assertEquals(socket.receive(batch), 0);
  for (let i = 0; i < 6; i++) sys.reply(sys.fds.get(socket.fd)!, new Uint8Array(i + 1).fill(i), 70 + i);
  assertEquals(socket.receive(batch), 4);
  const datagrams = new Uint8Array(batch.own(4).buffer);
  for (let i = 0; i < 4; i++) {
    assertEquals(datagrams.slice(batch.start(i), batch.start(i) + batch.length(i)), new Uint8Array(i + 1).fill(i));
    assertEquals([batch.length(i), batch.truncated(i), batch.portId(i), batch.nsid(i)], [i + 1, false, 70 + i, undefined]);
  }
  assertEquals(socket.receive(batch), 2);
  assertEquals([batch.length(0), batch.length(1), batch.portId(1)], [5, 6, 75]);
  socket.close();
  assertThrows(() => socket.receive(batch), NetlinkError, "Cannot receive from a netlink socket: bad file descriptor (EBADF)");
});

test("NetlinkSocket.send repeats after EINTR, returns false if there is no room, and otherwise fails", () => {
  const sys = new FakeSys();
  const socket = new NetlinkSocket(sys, NETLINK_GENERIC);
  sys.answer = () => {};
  sys.fail("sendto", EINTR, EINTR);
  assertEquals(socket.send(get(), "ask"), true);
  sys.fail("sendto", EAGAIN);
  assertEquals(socket.send(get(), "ask"), false);
  sys.fail("sendto", EPERM);
  assertThrows(() => socket.send(get(), "ask"), NetlinkError, "Cannot ask: operation not permitted (EPERM)");
  assertThrows(() => socket.send(get(), "ask", 4711), NetlinkError, "Cannot ask: connection refused (ECONNREFUSED)");
  socket.close();
});

test("NetlinkSocket.drops is 0 if the kernel's answer is too short to contain it", () => {
  const sys = new FakeSys();
  const socket = new NetlinkSocket(sys, NETLINK_GENERIC);
  sys.fds.get(socket.fd)!.drops = 4294967295;
  assertEquals(socket.drops(), 4294967295);
  const { getsockopt } = sys;
  sys.getsockopt = (...args) => Math.min(getsockopt.apply(sys, args), 32);
  assertEquals(socket.drops(), 0);
  socket.close();
});

// ---- requests

answered("Requests asks for the kernel's own sentences and for strict checks", () => {}, (_, sys) => {
  assertEquals(sys.log, ["3 option 270/11 1", "3 option 270/10 1", "3 option 270/12 1"]);
  return Promise.resolve();
});

answered("Requests does without the options that an old kernel lacks", () => {}, async (_, sys) => {
  sys.fail("setsockopt", 92, 92, 92);
  sys.answer = (request, socket) => sys.reply(socket, ackMessage(request.sequence, 0));
  const requests = new Requests(sys, NETLINK_ROUTE);
  assertEquals(await requests.request(get(), "ask"), []);
  requests.close();
});

answered(
  "Requests.request asks for an acknowledgement, except of a dump, and numbers each",
  (request, socket, sys) => {
    sys.log.push(`flags ${request.flags} sequence ${request.sequence}`);
    sys.reply(socket, request.flags & 4 ? ackMessage(request.sequence, 0) : doneMessage(request.sequence));
  },
  async (requests, sys) => {
    assertEquals(await requests.request(get(), "ask"), []);
    assertEquals(await requests.request(dump(), "list"), []);
    assertEquals(sys.log.slice(3), ["flags 5 sequence 1", "flags 769 sequence 2"]);
  },
);

answered(
  "Requests.request assembles an answer that arrives in pieces",
  ({ sequence }, socket, sys) => {
    sys.reply(socket, entry(sequence, 1));
    sys.reply(socket, joined(entry(sequence, 2), entry(sequence, 3)));
    for (let i = 4; i < 30; i++) sys.reply(socket, entry(sequence, i));
    setTimeout(() => {
      sys.reply(socket, entry(sequence, 30));
      sys.reply(socket, joined(entry(sequence, 31), doneMessage(sequence)));
    }, 5);
  },
  async (requests) => assertEquals(values(await requests.request(dump(), "list")), Array.from({ length: 31 }, (_, i) => i + 1)),
);

answered(
  "Requests.request returns memory that later answers do not change",
  ({ sequence }, socket, sys) => {
    sys.reply(socket, entry(sequence, 100 + sequence, 0));
    sys.reply(socket, ackMessage(sequence, 0));
  },
  async (requests) => {
    const first = await requests.request(get(), "ask");
    const second = await requests.request(get(), "ask");
    assertEquals([values(first), values(second)], [[101], [102]]);
  },
);

answered(
  "Requests.request asks again if the table changed during the dump",
  ({ sequence }, socket, sys) => {
    const flags = sequence < 3 ? NLM_F_MULTI | DUMP_INTR : NLM_F_MULTI;
    sys.reply(socket, entry(sequence, sequence, flags));
    sys.reply(socket, doneMessage(sequence));
  },
  async (requests) => assertEquals(values(await requests.request(dump(), "list")), [3]),
);

answered(
  "Requests.request sees that the table changed from the end of the dump alone",
  ({ sequence }, socket, sys) => {
    sys.reply(socket, joined(entry(sequence, sequence), doneMessage(sequence, 0, sequence < 2 ? NLM_F_MULTI | DUMP_INTR : NLM_F_MULTI)));
  },
  async (requests) => assertEquals(values(await requests.request(dump(), "list")), [2]),
);

answered(
  "Requests.request accepts what it gets if the table never stops changing",
  ({ sequence }, socket, sys) => sys.reply(socket, joined(entry(sequence, sequence), doneMessage(sequence, 0, NLM_F_MULTI | DUMP_INTR))),
  async (requests) => assertEquals(values(await requests.request(dump(), "list")), [8]),
);

answered(
  "Requests.request throws the error that ends a dump",
  ({ sequence }, socket, sys) => {
    sys.reply(socket, entry(sequence, 1));
    sys.reply(socket, doneMessage(sequence, EPERM));
  },
  async (requests) => {
    const error = await assertRejects(() => requests.request(dump(), "list things"), NetlinkError);
    assertEquals([error.message, error.code], ["Cannot list things: operation not permitted (EPERM)", "EPERM"]);
  },
);

answered(
  "Requests.request throws the kernel's own sentence and where the request was wrong",
  ({ sequence }, socket, sys) => sys.reply(socket, ackMessage(sequence, EINVAL, { message: "Rate must not be zero", offset: 36 })),
  async (requests) => {
    const error = await assertRejects(() => requests.request(get(), "add a rule"), NetlinkError);
    assertEquals(error.message, "Cannot add a rule: invalid argument (EINVAL): Rate must not be zero");
    assertEquals([error.op, error.errno, error.extack, error.extackOffset], ["add a rule", EINVAL, "Rate must not be zero", 36]);
  },
);

answered(
  "Requests.request ignores answers to others and messages of strangers",
  ({ sequence }, socket, sys) => {
    sys.reply(socket, ackMessage(sequence - 1, EPERM));
    sys.reply(socket, joined(entry(sequence + 1, 66), entry(sequence, 1, 0)));
    // Anybody may send to a netlink socket: this one forges a refusal, and that one an entry.
    sys.reply(socket, ackMessage(sequence, EPERM), 4711);
    sys.reply(socket, entry(sequence, 67), 4711);
    sys.reply(socket, new Uint8Array(5), 4711);
    sys.reply(socket, ackMessage(sequence, 0));
  },
  async (requests) => assertEquals(values(await requests.request(get(), "ask")), [1]),
);

answered("Requests.request gives up at its deadline, and a late answer is not the next one's", ({ sequence }, socket, sys) => {
  if (sequence === 1) {
    setTimeout(() => sys.reply(socket, joined(entry(1, 11), ackMessage(1, EPERM))), DEADLINE_MS + 10);
  } else {
    setTimeout(() => sys.reply(socket, joined(entry(sequence, 22), ackMessage(sequence, 0))), 30);
  }
}, async (requests) => {
  const late = requests.request(get(), "ask");
  const next = requests.request(get(), "ask again");
  const error = await assertRejects(() => late, NetlinkError);
  assertEquals(error.code, "ETIMEDOUT");
  assertStringIncludes(error.message, "Cannot ask: connection timed out (ETIMEDOUT). The kernel did not answer within 1000 ms");
  assertEquals(values(await next), [22]);
});

answered(
  "Requests.request sends one request after the other, in the order of asking",
  ({ sequence, payload }, socket, sys) => {
    sys.log.push(`asked ${payload[0]}`);
    setTimeout(() => {
      sys.log.push(`answered ${payload[0]}`);
      sys.reply(socket, payload[0] === 2 ? ackMessage(sequence, EINVAL) : joined(entry(sequence, payload[0]!), ackMessage(sequence, 0)));
    }, 3);
  },
  async (requests, sys) => {
    const ask = (value: number): Promise<Message[]> =>
      requests.request(encodeMessage({ type: 99, flags: NLM_F_REQUEST }, new Uint8Array([value, 0, 0, 0])), `ask ${value}`);
    const outcomes = [ask(1), ask(2), ask(3)].map((answer) => answer.then(values, (error) => error.message));
    assertEquals(await Promise.all(outcomes), [[1], "Cannot ask 2: invalid argument (EINVAL)", [3]]);
    assertEquals(sys.log.slice(3), ["asked 1", "answered 1", "asked 2", "answered 2", "asked 3", "answered 3"]);
  },
);

answered(
  "Requests.request never numbers a request 0, which is the number of multicasts",
  ({ sequence }, socket, sys) => sys.reply(socket, joined(entry(sequence, 1), ackMessage(sequence, 0))),
  async (requests) => {
    const message = get();
    await requests.request(message, "ask");
    assertEquals(viewOf(message).getUint32(8, LITTLE), 1);
  },
);

answered("Requests.request fails if it cannot send or receive", () => {}, async (requests, sys) => {
  sys.fail("sendto", EAGAIN);
  assertEquals((await assertRejects(() => requests.request(get(), "ask"), NetlinkError)).code, "EAGAIN");
  sys.fail("recvmmsg", EBADF);
  assertEquals((await assertRejects(() => requests.request(get(), "ask"), NetlinkError)).code, "EBADF");
  requests.close();
  assertEquals((await assertRejects(() => requests.request(get(), "ask"), NetlinkError)).code, "EBADF");
});

answered(
  "Requests.request does not take a malformed answer for a complete one",
  ({ sequence }, socket, sys) => sys.reply(socket, joined(entry(sequence, 1), new Uint8Array([255, 0, 0, 0]))),
  async (requests) => {
    await assertRejects(() => requests.request(dump(), "list"), DecodeError);
  },
);

answered("Requests closed while an answer is awaited ends the wait", () => {}, async (requests) => {
  const waiting = requests.request(get(), "ask");
  await Promise.resolve();
  requests.close();
  assertEquals((await assertRejects(() => waiting, NetlinkError)).code, "EBADF");
});

answered(
  "Requests.requestAll sends one datagram, and each request has its own outcome, whatever became of the others",
  ({ sequence, payload }, socket, sys) => {
    sys.log.push(`asked ${payload[0]}`);
    // The kernel answers in order; nothing here depends on it.
    setTimeout(() => {
      if (payload[0] === 2) sys.reply(socket, ackMessage(sequence, EINVAL, { message: "no such thing" }));
      else sys.reply(socket, joined(entry(sequence, 10 * payload[0]!, 0), ackMessage(sequence, 0)));
    }, 5 - payload[0]!);
  },
  async (requests, sys) => {
    let datagrams = 0;
    const { sendto } = sys;
    sys.sendto = (...args) => {
      datagrams++;
      return sendto.apply(sys, args);
    };
    const ask = (value: number): { message: Memory; op: string } => ({
      // Of several lengths: the next message is aligned.
      message: encodeMessage({ type: 99, flags: NLM_F_REQUEST }, new Uint8Array(3 + value).fill(value)),
      op: `ask ${value}`,
    });
    const outcomes = await requests.requestAll([1, 2, 3, 4].map(ask));
    assertEquals(outcomes.map(({ messages, error }) => error?.message ?? values([...messages])), [
      [10],
      "Cannot ask 2: invalid argument (EINVAL): no such thing",
      [30],
      [40],
    ]);
    assertEquals([datagrams, ...sys.log.slice(3)], [1, "asked 1", "asked 2", "asked 3", "asked 4"]);
    assertEquals(await requests.requestAll([]), []);
  },
);

answered(
  "Requests.requestAll gives up at its deadline if one answer is missing, and names that request",
  ({ sequence }, socket, sys) => {
    if (sequence !== 2) sys.reply(socket, ackMessage(sequence, 0));
  },
  async (requests) => {
    const error = await assertRejects(
      () => requests.requestAll(["first", "second", "third"].map((op) => ({ message: get(), op }))),
      NetlinkError,
    );
    assertEquals([error.op, error.code], ["second", "ETIMEDOUT"]);
  },
);
