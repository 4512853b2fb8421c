/** Requests to the kernel and their answers. Never on the socket that receives multicasts: answers would queue behind samples. */
import { NetlinkError } from "../errors.ts";
import {
  EAGAIN,
  ETIMEDOUT,
  type Memory,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  SOL_NETLINK,
  type Sys,
} from "../sys/sys.ts";
import {
  type Ack,
  ackError,
  addFlags,
  decodeAck,
  type Message,
  messageFlags,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  setSequence,
  splitMessages,
} from "../wire/message.ts";
import type { Datagrams } from "./datagrams.ts";
import { NetlinkSocket } from "./netlink_socket.ts";

/** How long the kernel may take for an answer: it normally answers before send returns. */
const DEADLINE_MS = 5000;
/** How often a dump is asked for again that changed while it was read. */
const MOST_DUMPS = 8;

/** A socket for requests to the kernel: each is answered in full before the next is sent. */
export class Requests {
  readonly #socket: NetlinkSocket;
  readonly #batch: Datagrams;
  readonly #deadlineMs: number;
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Opens a socket of a netlink protocol, NETLINK_*. */
  constructor(sys: Sys, protocol: number, deadlineMs: number = DEADLINE_MS) {
    this.#socket = new NetlinkSocket(sys, protocol);
    this.#deadlineMs = deadlineMs;
    // Refusals with the kernel's own sentence, and without an echo of the request; old kernels know neither.
    this.#socket.option(SOL_NETLINK, NETLINK_EXT_ACK, 1);
    this.#socket.option(SOL_NETLINK, NETLINK_CAP_ACK, 1);
    this.#socket.option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    this.#batch = this.#socket.batch(8, { senders: true });
  }

  /**
   * Sends a request and returns the messages of its answer; none for a plain acknowledgement. `op` says in
   * an error what was tried; an acknowledgement with a warning is among the messages. `nlmsg_seq` and the flag NLM_F_ACK are filled in.
   *
   * @throws {NetlinkError} where the kernel refuses, or does not answer in time.
   */
  request(message: Memory, op: string): Promise<Message[]> {
    const answer = this.#last.then(() => this.#exchange(message, op));
    this.#last = answer.catch(() => {});
    return answer;
  }

  /** Closes the descriptor, once. */
  close(): void {
    this.#socket.close();
  }

  async #exchange(message: Memory, op: string): Promise<Message[]> {
    for (let i = 1;; i++) {
      const { messages, interrupted } = await this.#once(message, op);
      // A dump during which the kernel's table changed may miss entries or have them twice.
      if (!interrupted || i === MOST_DUMPS) return messages;
    }
  }

  async #once(message: Memory, op: string): Promise<{ messages: Message[]; interrupted: boolean }> {
    const sequence = this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    if ((messageFlags(message) & NLM_F_DUMP) !== NLM_F_DUMP) addFlags(message, NLM_F_ACK);
    setSequence(message, sequence);
    if (!this.#socket.send(message, op)) throw new NetlinkError(op, EAGAIN);
    const messages: Message[] = [];
    let interrupted = false;
    const deadline = performance.now() + this.#deadlineMs;
    for (;;) {
      const batch = this.#batch;
      const count = this.#socket.receive(batch);
      const datagrams = batch.own(count);
      for (let i = 0; i < count; i++) {
        // Only the kernel answers; anybody may send to a netlink socket.
        if (batch.portId(i) !== 0) continue;
        const start = batch.start(i);
        for (const reply of splitMessages(new Uint8Array(datagrams.buffer, start, batch.length(i)))) {
          if (reply.sequence !== sequence) continue;
          if (reply.flags & NLM_F_DUMP_INTR) interrupted = true;
          if (reply.type !== NLMSG_ERROR && reply.type !== NLMSG_DONE) {
            messages.push(reply);
            continue;
          }
          const ack: Ack = decodeAck(reply);
          const error = ackError(op, ack);
          if (error) throw error;
          // A success may come with a warning.
          if (ack.extack) messages.push(reply);
          return { messages, interrupted };
        }
      }
      if (count > 0) continue;
      if (performance.now() > deadline) {
        throw new NetlinkError(op, ETIMEDOUT, { hint: `The kernel did not answer within ${this.#deadlineMs} ms` });
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}
