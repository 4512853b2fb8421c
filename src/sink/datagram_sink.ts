/** A sink that sends datagrams to a collector. */
import { errnoName } from "../errors.ts";
import { type DatagramEncoder, Datagrams, type SendDatagrams } from "../export/datagrams.ts";
import type { Lookup } from "../socket/socket_address.ts";
import { UdpTarget } from "../socket/udp_target.ts";
import type { Batch } from "../stream/batch.ts";
import { nowNs } from "../stream/clock.ts";
import type { Closing, Sink } from "../stream/sink.ts";
import type { Sys } from "../sys/sys.ts";
import { FlushTimer } from "./flush_timer.ts";

/**
 * How samples are sent to a collector.
 *
 * @category Export
 */
export interface ExportOptions {
  /**
   * How long a sample may wait for others to share a datagram with: at most a second with `"batch"`, which sends fuller datagrams, or 50
   * milliseconds with `"low"`. Defaults to `"batch"`.
   */
  latency?: "batch" | "low" | undefined;
  /**
   * Called once when sending fails, such as to a collector that is down; not again until it has recovered. Sending continues. The error is
   * a
   * {@linkcode SystemError} or a {@linkcode LookupError}.
   */
  onProblem?: ((error: Error) => void) | undefined;
  /** Called when the problem is over. */
  onRecovery?: (() => void) | undefined;
}

/**
 * What became of the datagrams of a sink, or of its messages if they go by TCP. UDP does not report whether a datagram has arrived.
 *
 * @category Export
 */
export interface DatagramCounts {
  /** Datagrams that were sent. */
  readonly sent: number;
  /** Datagrams that could not be sent. Their samples are in {@linkcode Sink.skipped}. */
  readonly dropped: number;
  /** How many were dropped by each error: `{ ENETUNREACH: 3 }`, or `EAI_AGAIN` if the host name could not be looked up. */
  readonly droppedBy: Readonly<Record<string, number>>;
  /** Errors returned for sent datagrams. Hosts and routers do not report each one, so this is a minimum. */
  readonly returned: number;
  /** The last of these errors: `"ECONNREFUSED"` if nothing listens on the port. */
  readonly returnedBy: string | undefined;
}

/**
 * The TCP connections of a sink.
 *
 * @category Export
 */
export interface ConnectionCounts {
  /** Whether there is a connection now. */
  readonly isOpen: boolean;
  /** Number of connections so far. */
  readonly connections: number;
  /** Messages that wait to be sent. */
  readonly waiting: number;
  /** Samples in these messages: neither written nor skipped yet. */
  readonly waitingSamples: number;
  /** Samples that were sent, and that the operating system at the other end has not confirmed yet. It cannot confirm that a collector has read them. */
  readonly unconfirmedSamples: number;
  /**
   * Samples that were sent and not confirmed when a connection broke, or at the end: it is unknown whether they arrived. It is a minimum of
   * what may be lost, because a collector that exits does not read everything that its system has confirmed.
   */
  readonly mayBeLost: number;
  /**
   * Why there was no connection last: `"ECONNREFUSED"` if nothing listens on the port, `"EAI_AGAIN"` if the host name could not be looked up.
   * `undefined` if there was always one.
   */
  readonly lastError: string | undefined;
}

/**
 * A sink that sends samples to a collector, by UDP or TCP. It never makes the source wait: what cannot be sent is dropped, and counted in
 * {@linkcode Sink.skipped}. It ends only with the pump.
 *
 * @category Export
 */
export interface ExportSink<Encoder extends DatagramEncoder = DatagramEncoder> extends Sink {
  /** Makes the datagrams, or messages. */
  readonly encoder: Encoder;
  /** The address that datagrams go to: of a host name, its present one. `undefined` if there is none yet. */
  readonly address: string | undefined;
  /** Samples in datagrams that were sent, and those that the encoder left out on purpose. */
  readonly written: number;
  /** The datagrams so far. */
  readonly datagrams: DatagramCounts;
  /** The connections, if it sends by TCP. */
  readonly connection?: ConnectionCounts;
  /** Samples of counters in datagrams that were sent, and in those that could not be; absent if the protocol has none. */
  readonly counterSamples?: { readonly sent: number; readonly dropped: number };
  /** Looks the host name up again now, and uses the current route. This is also done automatically when sending fails. */
  renew(): Promise<void>;
  /** Whether an error was returned for a sent datagram, or a connection has ended, since the last time. */
  checkReturned(): boolean;
}

/** What a sink of datagrams is made of. */
export interface DatagramSinkOptions<Encoder> extends ExportOptions {
  /** The protocol in the sink's name: `"sFlow"`. */
  readonly protocol: string;
  readonly defaultPort: number;
  /** Maximum size of a datagram in bytes. */
  readonly maxDatagramBytes: number;
  readonly encoder: (datagrams: Datagrams, send: SendDatagrams) => Encoder;
  /** Looks a host name up. Defaults to the runtime's way. */
  readonly lookup?: Lookup | undefined;
  /** Between 0 and 1. Defaults to `Math.random`. */
  readonly random?: (() => number) | undefined;
  /** Called once when nothing is sent any more. */
  readonly onClose?: (() => void) | undefined;
}

/** How long the last datagrams may take to find room in the send buffer, and how often to look. */
const CLOSE_MS = 1000;
const LOOK_MS = 10;
/** How long to wait for an error about the last datagrams, unless several before them had none. */
const ERRORS_MS = 100;
/** Maximum number of datagrams that one system call sends: more gain nothing. */
const MOST = 32;
const BLOCK_BYTES = 1 << 16;

/** Drives an encoder: when it flushes, and where to. */
export class DatagramSink<Encoder extends DatagramEncoder> implements ExportSink<Encoder> {
  readonly name: string;
  readonly encoder: Encoder;
  readonly ended: Promise<unknown>;
  skipped = 0;
  readonly counterSamples = { sent: 0, dropped: 0 };
  readonly #target: UdpTarget;
  readonly #onClose: () => void;
  readonly #timer: FlushTimer;
  /** Samples in datagrams that were sent. */
  #sent = 0;
  #isClosed = false;
  #end: (error: unknown) => void = () => {};

  /**
   * Opens the target, and makes the encoder.
   *
   * @throws {ArgumentError} if the target or an option of the encoder is wrong.
   * @throws {LookupError} if the host name certainly has no address.
   * @throws {SystemError} if no socket can be opened, or nothing can ever be reached at this address.
   */
  static async open<Encoder extends DatagramEncoder>(
    sys: Sys,
    target: string,
    options: DatagramSinkOptions<Encoder>,
  ): Promise<DatagramSink<Encoder>> {
    let sink: DatagramSink<Encoder> | undefined;
    const { defaultPort, maxDatagramBytes, onProblem, onRecovery, lookup, random } = options;
    const opened = await UdpTarget.open(sys, target, {
      defaultPort,
      blockBytes: Math.max(BLOCK_BYTES, maxDatagramBytes),
      most: MOST,
      onProblem,
      onRecovery,
      onReconnect: () => sink?.encoder.announce(),
      lookup,
      random,
    });
    try {
      return sink = new DatagramSink(opened, options);
    } catch (error) {
      opened.close();
      throw error;
    }
  }

  private constructor(target: UdpTarget, { protocol, encoder, latency, random = Math.random, onClose }: DatagramSinkOptions<Encoder>) {
    this.#target = target;
    this.#onClose = onClose ?? (() => {});
    this.name = `${protocol} ${target.name}`;
    this.encoder = encoder(new Datagrams(target.block, MOST), (datagrams) => this.#send(datagrams));
    this.ended = new Promise((resolve) => this.#end = resolve);
    this.#timer = new FlushTimer({ latency, random, flush: () => this.#flush(), onError: (error) => this.fail(error) });
  }

  get written(): number {
    return this.#sent + (this.encoder.leftOut ?? 0);
  }

  get address(): string | undefined {
    return this.#target.address;
  }

  get datagrams(): DatagramCounts {
    const { sent, dropped, droppedBy, returned, returnedBy } = this.#target.counts;
    const byName = Object.fromEntries([...droppedBy].map(([errno, count]) => [this.#target.dropName(errno), count]));
    return { sent, dropped, droppedBy: byName, returned, returnedBy: returnedBy === 0 ? undefined : errnoName(returnedBy) };
  }

  take(batch: Batch): void {
    if (this.#isClosed) return;
    const nowMs = performance.now();
    this.encoder.take(batch);
    this.#timer.taken(batch.samples, nowMs);
  }

  full(): undefined {}

  // deno-lint-ignore require-await -- an error is a rejection
  async flush(): Promise<void> {
    this.#flush();
  }

  async close(_closing: Closing): Promise<void> {
    if (this.#isClosed) return;
    try {
      const deadlineMs = performance.now() + CLOSE_MS;
      while (!this.#target.isWritable && performance.now() < deadlineMs && !this.#isClosed) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
      if (this.#isClosed) return;
      this.encoder.end(nowNs());
      await this.#lastErrors();
    } finally {
      this.abort();
    }
  }

  abort(): void {
    if (!this.#isClosed) this.#onClose();
    this.#isClosed = true;
    this.#timer.stop();
    this.#target.close();
  }

  renew(): Promise<void> {
    return this.#target.renew();
  }

  checkReturned(): boolean {
    return this.#target.checkReturned();
  }

  /** Ends with a bug. */
  fail(error: unknown): void {
    this.abort();
    this.#end(error);
  }

  /** Nobody else will notice an error about the last datagrams. */
  async #lastErrors(): Promise<void> {
    const { counts, isCalm } = this.#target;
    const deadlineMs = performance.now() + (isCalm ? 0 : ERRORS_MS);
    while (!this.#isClosed && counts.sent > counts.returned && !this.checkReturned() && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  #flush(): void {
    this.#timer.flushed();
    this.encoder.flush(nowNs());
  }

  #send(datagrams: Datagrams): void {
    const { ends, samples, counterSamples, count } = datagrams;
    let all = 0;
    let dropped = 0;
    let allCounters = 0;
    let droppedCounters = 0;
    for (let i = 0; i < count; i++) {
      all += samples[i]!;
      allCounters += counterSamples[i]!;
    }
    const drop = (i: number): void => {
      dropped += samples[i]!;
      droppedCounters += counterSamples[i]!;
    };
    if (this.#isClosed) { for (let i = 0; i < count; i++) drop(i); }
    else this.#target.send(ends, count, drop);
    this.#sent += all - dropped;
    this.skipped += dropped;
    this.counterSamples.sent += allCounters - droppedCounters;
    this.counterSamples.dropped += droppedCounters;
    datagrams.clear();
  }
}
