/** A sink that sends samples to the listeners of this machine's kernel. */
import { type InjectionListener, Injector } from "../control/injector.ts";
import { InjectedMessages, type InjectedPacketOptions } from "../format/injected_messages.ts";
import { type NetnsOptions, open } from "../socket/open.ts";
import type { Batch } from "../stream/batch.ts";
import type { Closing, Sink } from "../stream/sink.ts";
import type { Memory, Sys } from "../sys/sys.ts";
import { memory, viewOf } from "../wire/native.ts";

/**
 * How to {@linkcode injectInto}.
 *
 * @category Injecting
 */
export interface InjectOptions extends InjectedPacketOptions, NetnsOptions {}

/**
 * A sink that sends samples to all that listen to psample in a network namespace. Made by {@linkcode injectInto}.
 *
 * @category Injecting
 */
export interface InjectionSink extends Sink {
  /** Samples that were sent. */
  readonly written: number;
  /** Group events, which are not sent: only the kernel knows what its groups are. */
  readonly eventsLeftOut: number;
  /**
   * Who listens in this network namespace, and what each of them has lost, as it was when the kernel was last asked: at least once a second
   * while samples are sent, and at the end. `undefined` if this kernel does not report it (CONFIG_NETLINK_DIAG).
   */
  readonly listeners: readonly InjectionListener[] | undefined;
  /** Call it before the same samples are sent again: their numbers then continue from where they are instead of starting over. */
  nextRound(): void;
}

/**
 * Opens a sink that sends samples to the listeners of this machine, as user-space programs do that sample themselves: to hsflowd,
 * libpsample's tool, {@linkcode listen}, or a program under test. Requires CAP_NET_ADMIN.
 *
 * Messages stay as they are, also their groups, numbers and time stamps, except for two numbers: the type is that of this kernel's family,
 * and the port id is the sender's, by which listeners tell producers apart. Each recorded producer gets its own port. Samples from a
 * machine of the other byte order are converted. Packets that psample did not record become samples of one group, numbered from 0.
 *
 * The kernel does not report to a sender whether a listener's receive buffer was full. So the sink asks how full they are, and makes the
 * source wait while one is full, but not for a listener that reads nothing for a second, and {@linkcode InjectionSink.listeners} has what
 * it lost. Listeners in other network namespaces (`listen({ allNamespaces: true })`) receive the samples too, but cannot be seen.
 *
 * @example Test a listener with a recording, as fast as it reads
 * ```ts ignore
 * import { injectInto, pump, readRecording } from "@psample/psample";
 *
 * const sink = await injectInto();
 * await pump(await readRecording("samples.pcapng"), [], [sink]);
 * for (const { portId, dropped } of sink.listeners ?? []) console.log(`listener ${portId} lost ${dropped} of ${sink.written}`);
 * ```
 *
 * @throws {NetlinkError} `EPERM` without CAP_NET_ADMIN, `ENOENT` if the kernel has no psample family, `EOPNOTSUPP` if its multicast group
 * has a number above 32, which programs cannot send to.
 * @throws {SystemError} if the network namespace cannot be entered.
 * @category Injecting
 */
export async function injectInto(options: InjectOptions = {}): Promise<InjectionSink> {
  return await injectIntoWith(await open(options), options);
}

/** {@linkcode injectInto} on a given seam. */
export async function injectIntoWith(sys: Sys, options: InjectOptions = {}): Promise<InjectionSink> {
  return new InjectSink(await Injector.open(sys), options);
}

/** How long to wait before a full listener is looked at again. */
const PAUSE_MS = 1;

/** How many messages may be sent before the event loop gets its turn. */
const MOST_AT_ONCE = 256;

/** Why messages are left: a listener has no room, the kernel has no memory, or others have their turn first. */
type Left = "nothing" | "no room" | "no memory" | "no turn";

/** Sends the batches that it takes, in the background if it must wait for a listener. */
class InjectSink implements InjectionSink {
  readonly name = "psample's listeners";
  readonly ended: Promise<unknown>;
  readonly skipped = 0;
  written = 0;
  eventsLeftOut = 0;
  readonly #injector: Injector;
  readonly #messages: InjectedMessages;
  /** Messages that were taken: their bytes, where each ends, and whose it is. All before `#next` were sent. */
  #bytes: Memory = memory(1 << 16);
  #view = viewOf(this.#bytes);
  readonly #ends: number[] = [];
  readonly #producers: string[] = [];
  #next = 0;
  #working: Promise<void> | undefined;
  #isClosed = false;
  #end: (error: unknown) => void = () => {};

  constructor(injector: Injector, options: InjectedPacketOptions) {
    this.#injector = injector;
    this.#messages = new InjectedMessages(options);
    this.ended = new Promise((resolve) => this.#end = resolve);
  }

  get listeners(): readonly InjectionListener[] | undefined {
    return this.#injector.listeners;
  }

  nextRound(): void {
    this.#messages.nextRound();
  }

  take(batch: Batch): void {
    if (this.#isClosed) return;
    for (let i = 0; i < batch.count; i++) {
      const entry = batch.entries[i]!;
      if (entry.type !== "sample") {
        this.eventsLeftOut++;
        continue;
      }
      const at = this.#ends.at(-1) ?? 0;
      this.#grow(at + this.#messages.mostBytes(entry));
      this.#ends.push(at + this.#messages.write(batch, i, this.#bytes, this.#view, at));
      this.#producers.push(`${entry.nsid}/${entry.portId}`);
    }
    if (this.#working === undefined && this.#sendSome() !== "nothing") this.#working = this.#work();
  }

  full(): Promise<void> | undefined {
    return this.#working;
  }

  async flush(): Promise<void> {
    await this.#working;
  }

  async close(_closing: Closing): Promise<void> {
    try {
      await this.#working;
      // What the listeners have lost in the end.
      if (!this.#isClosed) await this.#injector.look(1);
    } finally {
      this.abort();
    }
  }

  abort(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#injector.close();
  }

  /** Sends the rest of what was taken, in the background. It never rejects. */
  async #work(): Promise<void> {
    try {
      for (let left: Left = "no turn"; left !== "nothing"; left = this.#sendSome()) {
        if (left === "no room") await this.#injector.look(this.#nextBytes);
        // At least a turn for others, among them perhaps the listener that is waited for.
        const isReady = left === "no turn" || (left === "no room" && this.#injector.isReady(this.#nextBytes));
        await new Promise((resolve) => isReady ? setImmediate(resolve) : setTimeout(resolve, PAUSE_MS));
        if (this.#isClosed) break;
      }
    } catch (error) {
      if (!this.#isClosed) {
        this.abort();
        this.#end(error);
      }
    }
    this.#working = undefined;
  }

  /** Sends as much as the listeners have room for. Returns why there is something left. */
  #sendSome(): Left {
    const injector = this.#injector;
    const most = Math.min(this.#ends.length, this.#next + MOST_AT_ONCE);
    for (; this.#next < most; this.#next++) {
      if (!injector.isReady(this.#nextBytes)) return "no room";
      const message = this.#bytes.subarray(this.#nextStart, this.#ends[this.#next]);
      if (!injector.send(message, this.#producers[this.#next]!)) return "no memory";
      this.written++;
    }
    if (this.#next < this.#ends.length) return "no turn";
    this.#ends.length = this.#producers.length = this.#next = 0;
    return "nothing";
  }

  get #nextStart(): number {
    return this.#next === 0 ? 0 : this.#ends[this.#next - 1]!;
  }

  /** Size of the next message that is sent. */
  get #nextBytes(): number {
    return this.#ends[this.#next]! - this.#nextStart;
  }

  #grow(size: number): void {
    if (size <= this.#bytes.length) return;
    const larger = memory(2 * size);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }
}
