/** A sink that sends messages to a collector by TCP. */
import { SystemError } from "../errors.ts";
import { type DatagramEncoder, Datagrams } from "../export/datagrams.ts";
import { domainOf, SessionNumbers } from "../export/ipfix/session_numbers.ts";
import { TcpTarget } from "../socket/tcp_target.ts";
import type { Batch } from "../stream/batch.ts";
import { nowNs } from "../stream/clock.ts";
import type { Closing } from "../stream/sink.ts";
import { EAGAIN, type Sys } from "../sys/sys.ts";
import { memory, viewOf } from "../wire/native.ts";
import type { ConnectionCounts, DatagramCounts, DatagramSinkOptions, ExportSink } from "./datagram_sink.ts";
import { FlushTimer } from "./flush_timer.ts";
import { InFlight } from "./in_flight.ts";
import { BLOCK_BYTES, MessageQueue } from "./message_queue.ts";

/** How many bytes may wait for a collector by default. */
export const STREAM_SPOOL_BYTES: number = 4 << 20;
/** How long the last messages may take, and how often to look. */
const CLOSE_MS = 1000;
const LOOK_MS = 5;
/** Maximum number of messages that are handed over together. */
const MOST = 64;
/** How many messages may be unconfirmed before it is asked which are. */
const MOST_UNCONFIRMED = 1024;

/** What a sink of messages is made of. */
export interface StreamSinkOptions<Encoder> extends DatagramSinkOptions<Encoder> {
  /** How many bytes may wait for the collector. */
  readonly spoolBytes: number;
}

/**
 * Drives an encoder of IPFIX, and sends its messages by one TCP connection after the other (RFC 7011, section 10.4). Each connection begins
 * with the templates, and with numbers from 0.
 *
 * Messages wait in a queue while there is no connection, where the oldest make room, and while the collector is slow, where new ones are
 * dropped: then the numbers have a gap.
 */
export class StreamSink<Encoder extends DatagramEncoder> implements ExportSink<Encoder> {
  readonly name: string;
  readonly encoder: Encoder;
  readonly ended: Promise<unknown>;
  skipped = 0;
  readonly #target: TcpTarget;
  readonly #timer: FlushTimer;
  readonly #spoolBytes: number;
  /** What begins a connection, and everything else. */
  readonly #first = new MessageQueue(Infinity);
  readonly #queue: MessageQueue;
  readonly #numbers = new SessionNumbers();
  readonly #inFlight = new InFlight();
  /** Records that were dropped since the last message of their domain. */
  readonly #missing = new Map<number, number>();
  /** What the encoder sends now begins a connection; and whether a connection has begun, so that the rest may follow. */
  #isBeginning = false;
  #hasBegun = false;
  /** The collector is slow: messages are dropped until half of what waits has been sent. */
  #isDropping = false;
  /** Whether the samples are from a recording, which can wait until there is room. */
  #isRecorded = false;
  #room: Promise<void> | undefined;
  #madeRoom: () => void = () => {};
  /** Messages and samples that were sent, messages that were dropped, by which error, and samples that were on their way when it broke. */
  #sentMessages = 0;
  #sent = 0;
  #dropped = 0;
  readonly #droppedBy = new Map<string, number>();
  #mayBeLost = 0;
  #disconnections = 0;
  #toldDisconnections = 0;
  #isClosed = false;
  #end: (error: unknown) => void = () => {};

  /**
   * Opens the target, makes the encoder, and begins to connect.
   *
   * @throws {ArgumentError} if the target or an option of the encoder is wrong.
   * @throws {LookupError} if the host name certainly has no address.
   * @throws {SystemError} if no socket can be opened, or nothing can ever be reached at this address.
   */
  static async open<Encoder extends DatagramEncoder>(
    sys: Sys,
    target: string,
    options: StreamSinkOptions<Encoder>,
  ): Promise<StreamSink<Encoder>> {
    let sink: StreamSink<Encoder> | undefined;
    const { defaultPort, onProblem, onRecovery, lookup, random } = options;
    const opened = await TcpTarget.open(sys, target, {
      defaultPort,
      onProblem,
      onRecovery,
      onConnect: () => sink?.guarded(() => sink?.connected()),
      onDisconnect: (acknowledged) => sink?.disconnected(acknowledged),
      onRoom: () => sink?.guarded(() => sink?.hasRoom()),
      lookup,
      random,
    });
    try {
      sink = new StreamSink(opened, options);
      opened.start();
      return sink;
    } catch (error) {
      if (sink) sink.abort();
      else opened.close();
      throw error;
    }
  }

  private constructor(target: TcpTarget, options: StreamSinkOptions<Encoder>) {
    const { protocol, encoder, latency, random, maxDatagramBytes, spoolBytes } = options;
    this.#target = target;
    this.name = `${protocol} ${target.name}`;
    this.#spoolBytes = spoolBytes;
    this.#queue = new MessageQueue(spoolBytes);
    const datagrams = new Datagrams(memory(Math.max(BLOCK_BYTES, maxDatagramBytes)), MOST);
    this.encoder = encoder(datagrams, () => this.#send(datagrams));
    this.ended = new Promise((resolve) => this.#end = resolve);
    this.#timer = new FlushTimer({ latency, random, flush: () => this.#tick(), onError: (error) => this.#fail(error) });
  }

  get written(): number {
    return this.#sent + (this.encoder.leftOut ?? 0);
  }

  get address(): string | undefined {
    return this.#target.address;
  }

  get datagrams(): DatagramCounts {
    const droppedBy = Object.fromEntries(this.#droppedBy);
    return { sent: this.#sentMessages, dropped: this.#dropped, droppedBy, returned: 0, returnedBy: undefined };
  }

  get connection(): ConnectionCounts {
    this.#confirm();
    return {
      isOpen: this.#target.isConnected,
      connections: this.#target.connections,
      waiting: this.#queue.messages,
      waitingSamples: this.#queue.samples,
      unconfirmedSamples: this.#inFlight.samples,
      mayBeLost: this.#mayBeLost,
      lastError: this.#target.lastError,
    };
  }

  take(batch: Batch): void {
    if (this.#isClosed) return;
    const nowMs = performance.now();
    this.#isRecorded = batch.recorded;
    this.encoder.take(batch);
    this.#timer.taken(batch.samples, nowMs);
  }

  /** Only a recording waits: what is sampled now comes whether or not anybody waits. */
  full(): Promise<void> | undefined {
    if (!this.#mustWait) return undefined;
    return this.#room ??= new Promise((resolve) => this.#madeRoom = resolve);
  }

  // deno-lint-ignore require-await -- an error is a rejection
  async flush(): Promise<void> {
    this.#tick();
  }

  async close(_closing: Closing): Promise<void> {
    if (this.#isClosed) return;
    let deadlineMs = performance.now() + CLOSE_MS;
    const until = async (isDone: () => boolean): Promise<void> => {
      let sent = this.#sent;
      while (!this.#isClosed && !isDone() && performance.now() < deadlineMs) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        // The rest of a recording may take as long as the collector keeps reading.
        if (this.#isRecorded && this.#sent > sent) deadlineMs = performance.now() + CLOSE_MS;
        sent = this.#sent;
      }
    };
    try {
      this.#timer.stop();
      this.encoder.end(nowNs());
      if (!this.#queue.isEmpty) this.#target.hurry();
      await until(() => this.#queue.isEmpty);
      this.#target.finish();
      // What the other end has not confirmed may be lost if this machine or the way ends now.
      await until(() => this.connection.unconfirmedSamples === 0 || this.#target.checkEnded());
    } finally {
      this.abort();
    }
  }

  abort(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer.stop();
    this.#confirm();
    this.#mayBeLost += this.#inFlight.samples;
    this.#inFlight.restart();
    for (const queue of [this.#first, this.#queue]) queue.clear((samples) => this.#drop(samples));
    this.#target.close();
    this.#tellRoom();
  }

  renew(): Promise<void> {
    return this.#target.renew();
  }

  checkReturned(): boolean {
    this.#target.checkEnded();
    const isNew = this.#disconnections > this.#toldDisconnections;
    this.#toldDisconnections = this.#disconnections;
    return isNew;
  }

  /** A connection has been made: the collector has heard nothing yet. */
  connected(): void {
    this.#numbers.restart();
    // What the encoder has begun follows what begins the connection.
    this.encoder.flush(nowNs());
    this.#isBeginning = true;
    try {
      this.encoder.announce();
      this.encoder.flush(nowNs());
    } finally {
      this.#isBeginning = false;
    }
    this.#hasBegun = true;
    this.#drain();
    this.#tellRoom();
  }

  /** The connection has ended. */
  disconnected(acknowledged: number | undefined): void {
    this.#disconnections++;
    this.#inFlight.confirm(acknowledged);
    this.#mayBeLost += this.#inFlight.samples;
    this.#inFlight.restart();
    // The next connection gets its own beginning.
    this.#first.clear((samples) => this.#drop(samples));
    this.#queue.rewind();
    this.#missing.clear();
    this.#isDropping = this.#hasBegun = false;
    this.#tellRoom();
  }

  /** There is room again. */
  hasRoom(): void {
    this.#drain();
    this.#resume();
    this.#tellRoom();
  }

  /** Calls from a timer, where nobody else would catch an error. */
  guarded(call: () => void): void {
    try {
      if (!this.#isClosed) call();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Whether a recording has to wait: not for a collector that does not answer. */
  get #mustWait(): boolean {
    const isComing = this.#hasBegun || this.#target.lastError === undefined;
    return this.#isRecorded && !this.#isClosed && isComing && !this.#queue.isHalfEmpty;
  }

  #tellRoom(): void {
    if (this.#room === undefined || this.#mustWait) return;
    this.#room = undefined;
    this.#madeRoom();
  }

  #fail(error: unknown): void {
    this.abort();
    this.#end(error);
  }

  #tick(): void {
    this.#timer.flushed();
    this.encoder.flush(nowNs());
    this.#drain();
    this.#resume();
    this.#tellRoom();
    if (this.#target.isConnected && !this.#isDropping) this.#target.well();
  }

  /** Takes messages from the encoder. */
  #send(datagrams: Datagrams): void {
    const view = viewOf(datagrams.bytes);
    let start = 0;
    for (let i = 0; i < datagrams.count; i++) {
      const end = datagrams.ends[i]!;
      this.#add(datagrams.bytes.subarray(start, end), domainOf(view, start), datagrams.samples[i]!, datagrams.records[i]!);
      start = end;
    }
    datagrams.clear();
    this.#drain();
  }

  #add(message: Uint8Array, domain: number, samples: number, records: number): void {
    if (this.#isBeginning) {
      this.#first.add(message, samples, records, 0);
      return;
    }
    if (!this.#hasBegun) {
      // The next connection begins with the templates, so that any message can be done without.
      while (!this.#queue.add(message, samples, records, 0)) this.#queue.dropOldest((samples) => this.#drop(samples));
      return;
    }
    const missing = this.#missing.get(domain) ?? 0;
    if (!this.#isDropping && this.#queue.add(message, samples, records, missing)) {
      this.#missing.delete(domain);
      return;
    }
    if (!this.#isDropping) {
      this.#isDropping = true;
      this.#target.trouble(
        new SystemError(`send all samples to ${this.#target.name}`, EAGAIN, {
          hint: `The collector reads more slowly than they arrive, and ${this.#spoolBytes} bytes are waiting for it: sample fewer packets`,
        }),
      );
    }
    this.#missing.set(domain, missing + records);
    this.#drop(samples);
  }

  /** After messages were dropped, which may have had templates: begins again when enough of what waited has been sent. */
  #resume(): void {
    if (!this.#isDropping || !this.#queue.isHalfEmpty) return;
    // What the encoder has begun may need such a template.
    this.encoder.flush(nowNs());
    this.#isDropping = false;
    this.encoder.announce();
    this.encoder.flush(nowNs());
  }

  #drop(samples: number): void {
    const code = this.#hasBegun ? "EAGAIN" : this.#target.lastError ?? "ENOTCONN";
    this.#droppedBy.set(code, (this.#droppedBy.get(code) ?? 0) + 1);
    this.#dropped++;
    this.skipped += samples;
  }

  /** Sends what the connection takes now. */
  #drain(): void {
    while (this.#hasBegun) {
      const queue = this.#first.isEmpty ? this.#queue : this.#first;
      if (queue.isEmpty) return;
      const bytes = this.#target.send(queue.next((block, at, records, missing) => this.#numbers.number(block, at, records, missing)));
      if (bytes === 0) {
        this.#target.wantRoom();
        return;
      }
      queue.sent(bytes, (length, samples) => {
        this.#sentMessages++;
        this.#sent += samples;
        this.#inFlight.add(length, samples);
      });
      if (this.#inFlight.messages > MOST_UNCONFIRMED) this.#confirm();
    }
  }

  /** Asks which messages the other end has confirmed. */
  #confirm(): void {
    if (this.#inFlight.messages > 0 && this.#target.isConnected) this.#inFlight.confirm(this.#target.acknowledged());
  }
}
