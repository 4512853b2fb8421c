/** IPFIX by TCP in the scripted kernel: what happens at which call. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ArgumentError, LookupError, type SystemError } from "../../src/errors.ts";
import { type IpfixToOptions, ipfixToWith, sflowToWith } from "../../src/sink/export.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import type { Closing } from "../../src/stream/sink.ts";
import { EACCES, EAFNOSUPPORT, EAGAIN, ECONNRESET, EINTR, EINVAL, ENETUNREACH, EPERM, EPIPE } from "../../src/sys/sys.ts";
import { IpfixDecoder, type IpfixMessage, unsigned } from "../export/ipfix/decoder.ts";
import { ipFrame, READ_NS, sampleOf } from "../export/ipfix/exported.ts";
import type { FakeConnection, FakePeer } from "../fake_tcp.ts";
import { FakeSys } from "../fake_sys.ts";
import { skippingWaits } from "../support/fake_time.ts";
import { until } from "../support/waiting.ts";

const ADDRESS = "192.0.2.9:4739";
const CLOSING = {} as Closing;
type Sink = Awaited<ReturnType<typeof ipfixToWith>>;

/** A sink, and what it reports. */
async function opened(sys: FakeSys, options: IpfixToOptions = {}): Promise<{ sink: Sink; told: string[] }> {
  const told: string[] = [];
  const sink = await ipfixToWith(sys, "tcp:192.0.2.9", {
    maxDatagramBytes: 512,
    onProblem: (error) => told.push((error as SystemError).code),
    onRecovery: () => told.push("well"),
    // Tries again before so much time has passed that all counts as well, which has a test of its own.
    random: () => 0,
    ...options,
  } as IpfixToOptions);
  return { sink, told };
}

/** Samples whose frames have the size of their number, from `from` on. */
function give(sink: Sink, from: number, count: number, rate = 1): void {
  const batch = new BatchBuffer();
  batch.readAtNs = READ_NS;
  for (let i = from; i < from + count; i++) {
    const data = ipFrame("10.0.0.1", "10.0.0.2", i % 65_536, 53, 28);
    batch.add(sampleOf({ in: 3, group: 7, rate, sequence: i, originalBytes: 60, data }), 0);
  }
  sink.take(batch);
}

/** What a collector reads of a connection. Throws if it begins without templates, or the numbers have a gap. */
function read(connection: FakeConnection): IpfixMessage[] {
  const decoder = new IpfixDecoder();
  return split(connection.bytes).map((bytes) => decoder.read(bytes));
}

function split(bytes: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + (bytes[at + 2]! << 8 | bytes[at + 3]!);
    assert(end > at && end <= bytes.length, "half a message");
    messages.push(bytes.slice(at, end));
    at = end;
  }
  return messages;
}

/** The source ports of the packets, which are the numbers of the samples. */
function numbersOf(messages: readonly IpfixMessage[]): number[] {
  return messages.flatMap(({ records }) => records).filter(({ scopes }) => scopes === 0)
    .map(({ fields }) => fields.get("315")!).map((frame) => frame[34]! << 8 | frame[35]!);
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

async function connection(peer: FakePeer, i = 0): Promise<FakeConnection> {
  await until("there is a connection", () => peer.connections.length > i);
  return peer.connections[i]!;
}

test(
  "messages wait for the connection, which begins with the templates, and each arrives once",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    const { sink, told } = await opened(sys);
    assertEquals([sink.name, sink.address, sink.full()], ["IPFIX tcp:192.0.2.9:4739", ADDRESS, undefined]);
    give(sink, 0, 20);
    await sink.flush();
    assertEquals([sink.written, sink.connection!.waitingSamples], [0, 20]);
    const one = await connection(peer);
    await until("all are sent", () => sink.written === 20);
    give(sink, 20, 5);
    await sink.close(CLOSING);
    const messages = read(one);
    assertEquals(numbersOf(messages), upTo(25));
    assertEquals(messages[0]!.sets.slice(0, 1), [3]);
    assertEquals([sink.written, sink.skipped, sink.datagrams.sent, told], [25, 0, messages.length, []]);
    assertEquals([one.isEnded, sink.connection!.mayBeLost, sink.connection!.connections], [true, 0, 1]);
    sys.assertClean();
  }),
);

test(
  "partial sends, interruptions and a full send buffer take nothing apart",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    peer.most = 7;
    const { sink } = await opened(sys);
    sys.fail("send", EINTR, EAGAIN, EINTR, EAGAIN);
    give(sink, 0, 40);
    await sink.flush();
    const one = await connection(peer);
    await until("all are sent", () => sink.written === 40);
    assertEquals(numbersOf(read(one)), upTo(40));
    peer.room = 100;
    give(sink, 40, 10);
    await sink.flush();
    await until("the buffer is full", () => peer.room === 0);
    const before = one.bytes.length;
    peer.room = Infinity;
    await until("the rest follows", () => sink.written === 50);
    assertEquals([numbersOf(read(one)), one.bytes.length > before], [upTo(50), true]);
    await sink.close(CLOSING);
    sys.assertClean();
  }),
);

test(
  "a new connection begins again: templates, numbers, and the message of which only a part was sent",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    const { sink, told } = await opened(sys, { onProblem: (error) => told.push((error as SystemError).code) });
    give(sink, 0, 10);
    await sink.flush();
    const one = await connection(peer);
    await until("all are sent", () => sink.written === 10);
    // The collector confirms what it has, takes half a message, and goes.
    one.acknowledged = one.bytes.length;
    peer.room = 300;
    give(sink, 10, 10);
    await sink.flush();
    await until("there is no room", () => peer.room === 0);
    const written = sink.written;
    one.closedBy = ECONNRESET;
    peer.room = Infinity;
    const two = await connection(peer, 1);
    await until("the rest is sent", () => sink.written === 20);
    const numbers = numbersOf(read(two));
    assertEquals(numbers, upTo(20).slice(written));
    // What was sent and not confirmed may be lost, and nothing else.
    assertEquals(sink.connection!.mayBeLost, written - 10);
    assertEquals([sink.skipped, told, sink.connection!.connections], [0, ["ECONNRESET"], 2]);
    await sink.close(CLOSING);
    sys.assertClean();
  }),
);

test(
  "what the encoder had begun before a connection follows the templates",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    const { sink } = await opened(sys);
    const one = await connection(peer);
    await until("it is known", () => sink.connection!.isOpen);
    give(sink, 0, 5);
    await sink.flush();
    one.closedBy = 0;
    assert(sink.checkReturned());
    // More than a block, so that some wait, and some are still with the encoder.
    give(sink, 5, 1000);
    await sink.renew();
    const two = await connection(peer, 1);
    await until("all are sent", () => sink.written === 1005);
    assertEquals(numbersOf(read(two)), upTo(1005).slice(5));
    await sink.close(CLOSING);
  }),
);

test(
  "a collector that restarts is noticed before anything is sent to the old connection",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    const { sink, told } = await opened(sys);
    give(sink, 0, 5);
    await sink.flush();
    const one = await connection(peer);
    await until("all are sent", () => sink.written === 5);
    one.closedBy = 0;
    give(sink, 5, 5);
    await sink.flush();
    const two = await connection(peer, 1);
    await until("all are sent", () => sink.written === 10);
    assertEquals([numbersOf(read(one)), numbersOf(read(two))], [upTo(5), [5, 6, 7, 8, 9]]);
    assertEquals([sink.connection!.mayBeLost, sink.checkReturned(), sink.checkReturned(), told], [0, true, false, ["ECONNRESET"]]);
    await sink.close(CLOSING);
  }),
);

test(
  "without a connection a bounded amount waits: the oldest messages make room, and their samples are counted",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS, "refuse");
    const { sink, told } = await opened(sys, { spoolBytes: 131_072 });
    for (let i = 0; i < 40; i++) give(sink, i * 100, 100);
    await sink.flush();
    const { skipped, connection: waiting } = sink;
    assert(skipped > 0 && waiting!.waitingSamples > 0, `${skipped} skipped`);
    assertEquals([skipped + waiting!.waitingSamples, sink.written], [4000, 0]);
    await until("it is told", () => told.length > 0);
    peer.answer = "accept";
    const one = await connection(peer);
    await until("what waited is sent", () => sink.written + sink.skipped === 4000);
    assertEquals([numbersOf(read(one)), sink.skipped], [upTo(4000).slice(skipped), skipped]);
    assertEquals(told, ["ECONNREFUSED"]);
    await sink.close(CLOSING);
    sys.assertClean();
  }),
);

test(
  "for a slow collector a bounded amount waits, a gap in the numbers shows what was dropped, and templates come again",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    const { sink, told } = await opened(sys, { spoolBytes: 131_072 });
    const one = await connection(peer);
    await until("it is known", () => sink.connection!.isOpen);
    peer.room = 0;
    // What is new in dropped messages must be told later: another rate has another domain.
    for (let i = 0; i < 30; i++) give(sink, i * 100, 100);
    for (let i = 30; i < 40; i++) give(sink, i * 100, 100, 50);
    await sink.flush();
    assert(sink.skipped >= 1000, `${sink.skipped} skipped`);
    assertEquals(told, ["EAGAIN"]);
    const { skipped, datagrams } = sink;
    assertEquals([datagrams.droppedBy, sink.connection!.waitingSamples + skipped], [{ EAGAIN: datagrams.dropped }, 4000]);
    peer.room = Infinity;
    await until("what waited is sent", () => sink.written + skipped === 4000);
    give(sink, 4000, 10);
    give(sink, 4010, 10, 50);
    await sink.close(CLOSING);
    assertEquals([sink.skipped, sink.written], [skipped, 4020 - skipped]);
    // The records that are missing: counted from the headers, as a collector does.
    const templates = new IpfixDecoder();
    const next = new Map<number, number>();
    let missing = 0;
    let reports = 0;
    for (const bytes of split(one.bytes)) {
      const view = new DataView(bytes.buffer);
      const [sequence, domain] = [view.getUint32(8), view.getUint32(12)];
      missing += sequence - (next.get(domain) ?? 0);
      const { records } = templates.read(bytes, { gaps: true });
      next.set(domain, sequence + records.length);
      reports += records.filter(({ scopes }) => scopes === 0).length;
    }
    assertEquals(reports, 4020 - skipped);
    // Records of options were dropped too.
    assert(missing >= skipped && missing < skipped + 20, `${missing} missing, ${skipped} skipped`);
  }),
);

test(
  "recovery is told once, when all has been well for a while",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS, "refuse");
    const { sink, told } = await opened(sys);
    await until("it is told", () => told.length > 0);
    peer.answer = "accept";
    await until("it is over", () => told.length > 1);
    assertEquals(told, ["ECONNREFUSED", "well"]);
    sink.abort();
    sys.assertClean();
  }),
);

test(
  "what was not delivered at the end is counted, and the end comes within a second or so",
  skippingWaits(async () => {
    const sys = new FakeSys();
    sys.listen(ADDRESS, "silent");
    const { sink } = await opened(sys);
    give(sink, 0, 30);
    const startMs = performance.now();
    await sink.close(CLOSING);
    assert(performance.now() - startMs < 5000);
    assertEquals([sink.written, sink.skipped, sink.datagrams.droppedBy], [0, 30, { ENOTCONN: sink.datagrams.dropped }]);
    sys.assertClean();
    const peer = sys.listen(ADDRESS);
    const { sink: other } = await opened(sys);
    const one = await connection(peer);
    one.acknowledged = 0;
    give(other, 0, 30);
    await other.close(CLOSING);
    assertEquals([other.written, other.skipped, other.connection!.mayBeLost], [30, 0, 30]);
  }),
);

test(
  "a broken pipe is an error like others, and a kernel that does not count what is confirmed is no obstacle",
  skippingWaits(async () => {
    const sys = new FakeSys();
    sys.tellsAcknowledged = false;
    const peer = sys.listen(ADDRESS);
    const { sink, told } = await opened(sys);
    give(sink, 0, 5);
    await sink.flush();
    await until("all are sent", () => sink.written === 5);
    sys.fail("send", EPIPE);
    give(sink, 5, 5);
    await sink.flush();
    const two = await connection(peer, 1);
    await until("all are sent", () => sink.written === 10);
    assertEquals([numbersOf(read(two)), told, sink.connection!.mayBeLost], [[5, 6, 7, 8, 9], ["EPIPE"], 5]);
    sink.abort();
  }),
);

test(
  "the socket stays the one of its network namespace, keeps the connection alive, and knows whom it waits for",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    const { sink } = await opened(sys);
    const one = await connection(peer);
    const sockets = [...sys.tcp.keys()];
    const options = [...sys.tcp.values()][0]!.options;
    // SO_KEEPALIVE, TCP_USER_TIMEOUT
    assertEquals([options.get("1/9"), options.get("6/18")], [1, 60_000]);
    one.closedBy = 0;
    await connection(peer, 1);
    assertEquals([...sys.tcp.keys()], sockets);
    sink.abort();
    sys.assertClean();
  }),
);

test(
  "a connection to itself is none",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    sys.connectsToItself = true;
    const { sink, told } = await opened(sys);
    await until("it is told", () => told.length > 0);
    assertEquals([told, sink.connection!.connections, sink.connection!.isOpen], [["ECONNREFUSED"], 0, false]);
    sys.connectsToItself = false;
    give(sink, 0, 10);
    const first = peer.connections.length;
    await sink.renew();
    const other = await connection(peer, first);
    await until("all have arrived", () => numbersOf(read(other)).length === 10);
    assertEquals(numbersOf(read(other)), upTo(10));
    await sink.close(CLOSING);
  }),
);

test(
  "an address that nobody can ever be reached at is refused, one that may come is tried again",
  skippingWaits(async () => {
    const sys = new FakeSys();
    sys.unreachable.set(ADDRESS, EAFNOSUPPORT);
    await assertRejects(() => opened(sys), Error, "Cannot send to tcp:192.0.2.9:4739: address family not supported (EAFNOSUPPORT)");
    sys.assertClean();
    // No route, one that prohibits, one that is a blackhole, and a firewall.
    for (const [errno, code] of [[ENETUNREACH, "ENETUNREACH"], [EACCES, "EACCES"], [EINVAL, "EINVAL"], [EPERM, "EPERM"]] as const) {
      sys.unreachable.set(ADDRESS, errno);
      const { sink, told } = await opened(sys);
      assertEquals(told, [code]);
      sys.unreachable.clear();
      const peer = sys.listen(ADDRESS);
      await connection(peer, peer.connections.length);
      sink.abort();
      sys.assertClean();
    }
  }),
);

test(
  "each address of a name has its turn, and the name is looked up again; one that stops resolving keeps what it had",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const names: string[][] = [["198.51.100.1", "192.0.2.9"], []];
    let asked = 0;
    const lookup = (name: string): Promise<readonly string[]> => {
      const found = names[Math.min(asked++, 1)]!;
      return found.length > 0 ? Promise.resolve(found) : Promise.reject(new LookupError(name, "ENOTFOUND"));
    };
    const peer = sys.listen(ADDRESS);
    const told: string[] = [];
    const sink = await ipfixToWith(sys, "tcp:collector.example.net", {
      lookup,
      onProblem: (error) => told.push(error.message),
    } as IpfixToOptions);
    const one = await connection(peer);
    assertEquals([sink.address, told], [ADDRESS, []]);
    one.closedBy = 0;
    await connection(peer, 1);
    assert(asked >= 2);
    assertEquals(told.length, 2);
    assert(/Cannot send to tcp:collector.example.net:4739 \(192.0.2.9\): .*ECONNRESET/.test(told[0]!), told[0]);
    assert(/collector.example.net/.test(told[1]!) && /ENOTFOUND/.test(told[1]!), told[1]);
    sink.abort();
  }),
);

test(
  "a name that no name server answers for at the start is told, and connected to as soon as it has an address",
  skippingWaits(async () => {
    const sys = new FakeSys();
    let answers = false;
    const lookup = (name: string): Promise<readonly string[]> =>
      answers ? Promise.resolve(["192.0.2.9"]) : Promise.reject(new LookupError(name, "EAI_AGAIN"));
    const told: string[] = [];
    const open = (): Promise<Sink> =>
      ipfixToWith(sys, "tcp:collector.example.net", { lookup, onProblem: (error) => told.push(error.message) } as IpfixToOptions);
    const sink = await open();
    assertEquals([sink.address, told], [undefined, ["Cannot look up the host name collector.example.net: EAI_AGAIN"]]);
    assertEquals([sink.connection!.isOpen, sink.connection!.lastError], [false, "EAI_AGAIN"]);
    give(sink, 0, 3);
    await sink.flush();
    const peer = sys.listen(ADDRESS);
    answers = true;
    const one = await connection(peer);
    await until("what waited is sent", () => sink.written === 3);
    assertEquals([read(one).length > 0, sink.address, sink.skipped, told.length], [true, ADDRESS, 0, 1]);
    sink.abort();
    // There is little time at the end: a name without an address is not tried as an address.
    answers = false;
    const closed = await open();
    give(closed, 0, 2);
    await closed.close(CLOSING);
    assertEquals([closed.written, closed.skipped, closed.datagrams.droppedBy], [0, 2, { EAI_AGAIN: closed.datagrams.dropped }]);
    assertEquals(new Set(told), new Set(["Cannot look up the host name collector.example.net: EAI_AGAIN"]));
    sys.assertClean();
  }),
);

test(
  "TCP is refused for sFlow with a reason, and a spool that is too small",
  skippingWaits(async () => {
    const sys = new FakeSys();
    await assertRejects(() => sflowToWith(sys, "tcp:192.0.2.9"), ArgumentError, "sFlow has no form for a stream");
    await assertRejects(() => opened(sys, { spoolBytes: 1000 }), ArgumentError, "spoolBytes 1000 is not a whole number from 131072 on");
    const sink = await ipfixToWith(sys, "udp:192.0.2.9");
    assertEquals([sink.name, sink.connection], ["IPFIX 192.0.2.9:4739", undefined]);
    sink.abort();
    sys.assertClean();
  }),
);

test(
  "templates are sent once for each connection, and the timer repeats only records of options",
  skippingWaits(async () => {
    const sys = new FakeSys();
    const peer = sys.listen(ADDRESS);
    const { sink } = await opened(sys, { templateRefreshMs: 100, strict: true, refreshPhase: 1 });
    const one = await connection(peer);
    // Messages that were made before carry the templates that were new then too.
    await until("it is known", () => sink.connection!.isOpen);
    give(sink, 0, 5);
    await sink.flush();
    // Whole seconds of the clock go by.
    await until("statistics come again", async () => {
      await sink.flush();
      return statistics(read(one)).length > 1;
    });
    const messages = read(one);
    const templates = messages.flatMap(({ sets }) => sets).filter((set) => set === 2);
    assertEquals(templates.length, 1);
    assertEquals(statistics(messages).at(-1), 5);
    sink.abort();
  }),
);

function statistics(messages: readonly IpfixMessage[]): number[] {
  return messages.flatMap(({ records }) => records).filter(({ fields }) => fields.has("319")).map((record) => unsigned(record, "319"));
}
