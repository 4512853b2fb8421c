import type { Devices } from "../link/device.ts";
import { type Listener, SocketListener } from "./listener.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { RECEIVE_BUFFER_BYTES, Receiver } from "../socket/receiver.ts";
import { loadSys } from "../sys/load.ts";
import { NETLINK_USERSOCK, type Sys } from "../sys/sys.ts";
import { align4, memory } from "../wire/native.ts";

/**
 * How to {@linkcode replay}.
 *
 * @category Receiving
 */
export interface ReplayOptions {
  /** Message type of the psample family in the recorded messages. */
  family: number;
  /** Pause between two messages in milliseconds. Defaults to none. */
  intervalMs?: number | undefined;
  /** The devices that samples name, for batches to know. Defaults to none. */
  devices?: Devices | undefined;
}

/**
 * Sends recorded psample messages, whole netlink messages with their headers, through a real netlink socket and
 * receives them as {@linkcode listen} does. It needs neither privileges nor psample in the kernel: for demonstrations, and for testing a
 * consumer. The iteration ends after the last message.
 *
 * @example Test a consumer of samples
 * ```ts
 * import { replay } from "@psample/psample";
 *
 * const recorded = "3000000021000000000000000000000000010000" + // the two headers, 0x21 is the family
 *   "0800030001000000" + "0800050064000000" + "0a000600aabbccddeeff0000"; // group 1, rate 100, 6 bytes of data
 * const message = Uint8Array.from(recorded.match(/../g)!, (byte) => parseInt(byte, 16));
 * const groups: (number | undefined)[] = [];
 * for await (const entry of await replay([message, message], { family: 0x21 })) groups.push(entry.group);
 * if (groups.join() !== "1,1") throw new Error(`received ${groups}`);
 * ```
 *
 * @category Receiving
 */
export async function replay(messages: Iterable<Uint8Array>, options: ReplayOptions): Promise<Listener> {
  return await replayWith(await loadSys(), messages, options);
}

/** {@linkcode replay} on a given seam. */
export async function replayWith(sys: Sys, messages: Iterable<Uint8Array>, options: ReplayOptions): Promise<Listener> {
  const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
  const listener = new SocketListener(receiver, { devices: options.devices });
  listener.expect(options.family);
  let sender: Sender;
  try {
    sender = new Sender(sys, receiver);
  } catch (error) {
    await listener.close();
    throw error;
  }
  sender.send(messages, options.intervalMs ?? 0).then(() => listener.end(), (error) => listener.end(error));
  return listener;
}

/** Sends to a receiver, as fast as it reads, for as long as it wants more. */
class Sender {
  readonly #socket: NetlinkSocket;
  readonly #portId: number;
  #stopped = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #resume = (): void => {};

  constructor(sys: Sys, receiver: Receiver) {
    this.#socket = new NetlinkSocket(sys, NETLINK_USERSOCK);
    this.#portId = receiver.portId;
    receiver.onEnd = () => {
      this.#stopped = true;
      this.#socket.close();
      clearTimeout(this.#timer);
      this.#resume();
    };
  }

  async send(messages: Iterable<Uint8Array>, intervalMs: number): Promise<void> {
    for (const message of messages) {
      const bytes = memory(align4(message.length));
      bytes.set(message);
      // A full receiver is a slow consumer: wait for it, so that nothing is lost.
      while (!this.#stopped && !this.#socket.send(bytes, "replay a message", this.#portId)) await this.#pause(5);
      if (intervalMs > 0 && !this.#stopped) await this.#pause(intervalMs);
      if (this.#stopped) return;
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve;
      this.#timer = setTimeout(resolve, ms);
    });
  }
}
