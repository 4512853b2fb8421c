/** What scenes are made of: devices, samplers, packets on the wire, and listeners. */
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type Entry, type GroupEvent, listen, type Listener, type ListenOptions, type Sample, type SampleFields } from "../../mod.ts";
import { loadSys } from "../../src/sys/load.ts";
import { type Memory, SOCK_CLOEXEC, SOCK_RAW } from "../../src/sys/sys.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { inFreshNamespace } from "./namespace.ts";
import { type Need, needs } from "./needs.ts";
import { PATIENCE_MS, soon } from "../support/waiting.ts";

export { PATIENCE_MS, pause, soon, until } from "../support/waiting.ts";

const sys = await loadSys();

/** The scene that is running. */
let playing: string | undefined;

/** A test in its own network namespace, on a machine that has psample. */
export function scene(name: string, ...rest: [...Need[], () => Promise<void>]): void {
  const play = rest.pop() as () => Promise<void>;
  const options = needs("psample", "net_admin", ...rest as Need[]);
  test(name, { ...options, timeout: 4 * PATIENCE_MS }, async () => {
    // A scene that timed out keeps running, and both would change the namespace of the only thread.
    assert(playing === undefined, `"${playing}" has not ended, so that nothing can be said of this`);
    playing = name;
    try {
      await inFreshNamespace(play);
    } finally {
      playing = undefined;
    }
  });
}

/**
 * Prints on standard error what was measured. Directly to the descriptor, because a quiet test runner hides what is printed through the
 * runtime.
 */
export function say(text: string): void {
  sys.write(2, new TextEncoder().encode(`test/kernel: ${text}\n`));
}

// --- devices ------------------------------------------------------------------------------------

/** Runs a program to its end; an exit status other than 0 is an error with its output. */
export function run(program: string, args: readonly string[], input = ""): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with status ${status}: ${stderr}${stdout}\n${input}`);
  return stdout;
}

/** Runs commands of `ip` in one process. */
export function ip(...lines: string[]): void {
  run("ip", ["-batch", "-"], lines.map((line) => `${line}\n`).join(""));
}

/** Runs commands of `tc` in one process. */
export function tc(...lines: string[]): void {
  run("tc", ["-batch", "-"], lines.map((line) => `${line}\n`).join(""));
}

/** The indexes of the devices that scenes create. */
export const IFINDEX = { a: 101, b: 102, c: 103, d: 104, tun0: 110, tunnel0: 120 } as const;
/** The name of such a device. */
export type Device = keyof typeof IFINDEX;

/**
 * A wire from `a`, which is ours (192.0.2.1), to `b`, the sender. The peer 192.0.2.2 consists of
 * frames only; its MAC address is not `b`'s, so that the stack accepts nothing that arrives there.
 */
export function wire(): void {
  bareWire();
  tc("qdisc add dev a clsact", "qdisc add dev b clsact");
}

/** The same wire, without qdiscs for filters. */
export function bareWire(): void {
  ip(
    "link set dev lo up",
    "link add name a index 101 address 02:00:00:00:00:01 type veth peer name b index 102 address 02:00:00:00:00:0b",
    "address add 192.0.2.1/24 dev a",
    "link set dev a up",
    "link set dev b up",
    "neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev a",
  );
}

/** A second wire, which leads to the network 198.51.100.0/24. */
export function secondWire(): void {
  ip(
    "link add name c index 103 address 02:00:00:00:00:03 type veth peer name d index 104 address 02:00:00:00:00:0d",
    "address add 198.51.100.1/24 dev c",
    "link set dev c up",
    "link set dev d up",
    "neighbour add 198.51.100.2 lladdr 02:00:00:00:00:04 dev c",
  );
  tc("qdisc add dev c clsact");
}

/** Creates devices without traffic: `d0` with index 200, and so on. */
export function dummies(count: number): string[] {
  const names = Array.from({ length: count }, (_, i) => `d${i}`);
  ip(...names.flatMap((name, i) => [`link add name ${name} index ${200 + i} type dummy`, `link set dev ${name} up`]));
  return names;
}

/** Samples what passes: `sample("a ingress", "rate 1 group 5")`; all packets, or those that `match` selects. */
export function sample(where: string, parameters: string, match = "matchall"): void {
  tc(`filter add dev ${where} ${match} action sample ${parameters}`);
}

// --- packets --------------------------------------------------------------------------------------

const AF_PACKET = 17;

function checked(what: string, result: number): number {
  if (result < 0) throw new Error(`${what} failed: errno ${-result}`);
  return result;
}

function packetSocket<Result>(work: (fd: number) => Result): Result {
  const fd = checked("socket", sys.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  try {
    return work(fd);
  } finally {
    sys.close(fd);
  }
}

function deviceAddress(device: Device | number): Memory {
  // struct sockaddr_ll: u16 family, be16 protocol, int ifindex, and fields for receivers.
  const address = memory(20);
  viewOf(address).setUint16(0, AF_PACKET, LITTLE);
  viewOf(address).setInt32(4, typeof device === "number" ? device : IFINDEX[device], LITTLE);
  return address;
}

/** Sends frames on a device, given by its name or index. Those sent on `b` arrive at `a`. */
export function send(device: Device | number, ...frames: readonly Uint8Array[]): void {
  const to = deviceAddress(device);
  packetSocket((fd) => {
    for (const frame of frames) checked(`sending ${frame.length} bytes on ${device}`, sys.sendto(fd, new Uint8Array(frame), 0, to));
  });
}

/** Sends a frame on a device many times, fast, through one socket. */
export class Sender implements Disposable {
  readonly #fd = checked("socket", sys.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  readonly #to: Memory;
  readonly #frame: Memory;

  constructor(device: Device | number, frame: Uint8Array) {
    this.#to = deviceAddress(device);
    this.#frame = new Uint8Array(frame);
  }

  send(times: number): void {
    for (let i = 0; i < times; i++) checked("sending", sys.sendto(this.#fd, this.#frame, 0, this.#to));
  }

  [Symbol.dispose](): void {
    sys.close(this.#fd);
  }
}

/** Sends one frame on a device that the card is to segment (TCP over IPv4 without options). */
export function sendToBeCut(device: Device, frame: Uint8Array, segmentBytes: number): void {
  const SOL_PACKET = 263;
  const PACKET_VNET_HDR = 15;
  // struct virtio_net_hdr: the checksum is to be completed; TCP over IPv4; u16 head, segment, checksum from and at.
  const bytes = memory(10 + frame.length);
  const view = viewOf(bytes);
  bytes.set([1, 1]);
  [54, segmentBytes, 34, 16].forEach((value, i) => view.setUint16(2 + 2 * i, value, LITTLE));
  bytes.set(frame, 10);
  packetSocket((fd) => {
    checked("PACKET_VNET_HDR", sys.setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, new Uint8Array([1, 0, 0, 0])));
    checked("sending", sys.sendto(fd, bytes, 0, deviceAddress(device)));
  });
}

// --- listening --------------------------------------------------------------------------------------

/** A listener, and the time when it started. */
export class Ear implements AsyncDisposable {
  readonly listener: Listener;
  readonly #entries: AsyncIterator<Entry, undefined>;
  readonly #since = Date.now();

  constructor(listener: Listener) {
    this.listener = listener;
    this.#entries = listener[Symbol.asyncIterator]();
  }

  /** The next `count` entries. */
  async take(count: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    while (entries.length < count) {
      const next = await soon(this.#entries.next(), () => `entry ${entries.length + 1} of ${count}`);
      if (next.done) throw new Error(`The listener ended after ${entries.length} entries, ${count} were expected`);
      entries.push(next.value);
    }
    return entries;
  }

  /** The next entries are these samples, in every field; their times lie between the start of the listener and now. */
  async hears(...expected: SampleFields[]): Promise<void> {
    const samples = asSamples(await this.take(expected.length));
    for (const sample of samples) this.#checkTime(sample);
    assertEquals(samples.map(timeless), expected);
  }

  /** The next entries are these group events, in every field. */
  async hearsEvents(...expected: Partial<GroupEvent>[]): Promise<void> {
    const events = (await this.take(expected.length)).map((event) => ({ ...event }));
    assertEquals(events as unknown, expected.map((event) => ({ refcount: 0, sequence: 0, nsid: undefined, portId: 0, ...event })));
  }

  /** Ends the listener; returns what is still queued. */
  async rest(): Promise<Entry[]> {
    this.listener.end();
    const entries: Entry[] = [];
    for (;;) {
      const next = await soon(this.#entries.next(), "the end");
      if (next.done) return entries;
      entries.push(next.value);
    }
  }

  /** Ends the listener; nothing else has arrived, and nothing was lost. */
  async hearsNoMore(): Promise<void> {
    const rest = await this.rest();
    assertEquals(rest.map((entry) => ({ ...entry })), []);
    const { lost, dropped, malformed, unknown } = this.listener.stats();
    assertEquals({ lost, dropped, malformed, unknown }, { lost: 0, dropped: 0, malformed: 0, unknown: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener.close();
  }

  #checkTime(sample: Sample): void {
    const { timestampNs } = sample;
    if (timestampNs === undefined) throw new Error("the sample has no timestamp");
    const ms = Number(timestampNs / 1_000_000n);
    assert(this.#since - 1 <= ms && ms <= Date.now() + 1, `the sample is of ${ms}, heard between ${this.#since} and ${Date.now()}`);
  }
}

/** {@linkcode listen}, for a scene. */
export async function hear(options: ListenOptions = {}): Promise<Ear> {
  return new Ear(await soon(listen(options), "listen"));
}

/** Entries that must all be samples. */
export function asSamples(entries: readonly Entry[]): Sample[] {
  return entries.map((entry) => {
    if (entry.type !== "sample") throw new Error(`a sample was expected, this is ${entry.type} ${entry.group}`);
    return entry;
  });
}

/** Everything in a sample except its time, which no scene can set. */
export function timeless(sample: Sample): SampleFields {
  return { ...sample, timestampNs: undefined };
}

/** A sample with all fields: those given; by default a complete IPv4 packet, 1 in 1, the first of its group. */
export function sampled(fields: Partial<SampleFields> & { group: number }): SampleFields {
  const rate = fields.rate ?? 1;
  return {
    type: "sample",
    sequence: 0,
    rate,
    rateIsProbability: false,
    oneIn: rate,
    inIfindex: undefined,
    outIfindex: undefined,
    originalBytes: fields.data?.length,
    protocol: 0x0800,
    timestampNs: undefined,
    latencyNs: undefined,
    outTc: undefined,
    outTcOccupancyBytes: undefined,
    cookie: undefined,
    tunnel: undefined,
    unknown: [],
    nsid: undefined,
    portId: 0,
    data: undefined,
    ...fields,
  };
}

/** The samples of these packets, numbered from 0. */
export function sampledInOrder(packets: readonly Uint8Array[], fields: Partial<SampleFields> & { group: number }): SampleFields[] {
  return packets.map((data, sequence) => sampled({ sequence, data, ...fields }));
}
