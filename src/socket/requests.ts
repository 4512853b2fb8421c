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
  ackError,
  addFlags,
  decodeAck,
  joinMessages,
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

/** How long the kernel may take to answer: it normally answers before send returns. */
const DEADLINE_MS = 5000;
/** How often a dump is repeated if it changed while it was read. */
const MOST_DUMPS = 8;

/** One of several requests that go out together, see {@linkcode Requests.requestAll}. */
export interface Request {
  /** The whole message; `nlmsg_seq` and the flag NLM_F_ACK are filled in. */
  readonly message: Memory;
  /** What is attempted, as a verb phrase for an error. */
  readonly op: string;
}

/** What became of one of several requests. */
export interface Outcome {
  /** The messages of its answer. */
  readonly messages: readonly Message[];
  /** Why the kernel refused it; `undefined` for success. */
  readonly error: NetlinkError | undefined;
}

/** A pending request, and its answer so far. */
interface Exchange {
  readonly op: string;
  readonly messages: Message[];
  error: NetlinkError | undefined;
  /** The dump was interrupted by a change. */
  interrupted: boolean;
}

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
    // Refusals include the kernel's own message and no echo of the request; old kernels support neither.
    this.#socket.option(SOL_NETLINK, NETLINK_EXT_ACK, 1);
    this.#socket.option(SOL_NETLINK, NETLINK_CAP_ACK, 1);
    this.#socket.option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    this.#batch = this.#socket.batch(8, { senders: true });
  }

  /**
   * Sends a request and returns the messages of its answer; none for a plain acknowledgement. `op` describes the attempt in errors; an
   * acknowledgement with a warning is among the messages. `nlmsg_seq` and the flag NLM_F_ACK are filled in.
   *
   * @throws {NetlinkError} if the kernel refuses, or does not answer in time.
   */
  request(message: Memory, op: string): Promise<Message[]> {
    return this.#queue(() => this.#ask({ message, op }));
  }

  /**
   * Sends several requests in one datagram, which must not be dumps. The kernel carries out all of them, in order and
   * within the one system call: not even SIGKILL comes in between, though other processes may. A refused request does not prevent the next
   * one.
   *
   * @returns What became of each, in the same order.
   * @throws {NetlinkError} if they cannot be sent, or the kernel does not answer all of them in time.
   */
  requestAll(requests: readonly Request[]): Promise<readonly Outcome[]> {
    return this.#queue(() => this.#exchange(requests));
  }

  /** The port id of its socket, which notifications give as the originator of a change. */
  get portId(): number {
    return this.#socket.portId;
  }

  /** Closes the descriptor, once. */
  close(): void {
    this.#socket.close();
  }

  #queue<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  async #ask(request: Request): Promise<Message[]> {
    for (let i = 1;; i++) {
      const [{ messages, error, interrupted }] = await this.#exchange([request]) as [Exchange];
      if (error) throw error;
      // If the kernel's table changed during a dump, entries may be missing or listed twice.
      if (!interrupted || i === MOST_DUMPS) return messages;
    }
  }

  async #exchange(requests: readonly Request[]): Promise<readonly Exchange[]> {
    if (requests.length === 0) return [];
    const exchanges = requests.map(({ op }): Exchange => ({ op, messages: [], error: undefined, interrupted: false }));
    const waiting = new Map<number, Exchange>();
    for (const [i, { message }] of requests.entries()) {
      const sequence = this.#sequence = (this.#sequence + 1) >>> 0 || 1;
      if ((messageFlags(message) & NLM_F_DUMP) !== NLM_F_DUMP) addFlags(message, NLM_F_ACK);
      setSequence(message, sequence);
      waiting.set(sequence, exchanges[i]!);
    }
    const datagram = requests.length === 1 ? requests[0]!.message : joinMessages(requests.map(({ message }) => message));
    const { op } = requests[0]!;
    if (!this.#socket.send(datagram, op)) throw new NetlinkError(op, EAGAIN);
    const deadline = performance.now() + this.#deadlineMs;
    while (waiting.size > 0) {
      if (this.#receive(waiting) > 0) continue;
      if (performance.now() > deadline) {
        const [late] = waiting.values();
        throw new NetlinkError(late!.op, ETIMEDOUT, { hint: `The kernel did not answer within ${this.#deadlineMs} ms` });
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return exchanges;
  }

  /** Takes the kernel's answers, and removes completed requests from `waiting`; returns the number of datagrams. */
  #receive(waiting: Map<number, Exchange>): number {
    const batch = this.#batch;
    const count = this.#socket.receive(batch);
    const datagrams = batch.own(count);
    for (let i = 0; i < count; i++) {
      // Only the kernel answers; anybody may send to a netlink socket.
      if (batch.portId(i) !== 0) continue;
      for (const reply of splitMessages(new Uint8Array(datagrams.buffer, batch.start(i), batch.length(i)))) {
        const exchange = waiting.get(reply.sequence);
        if (exchange && settles(exchange, reply)) waiting.delete(reply.sequence);
      }
    }
    return count;
  }
}

/** Adds a message to the answer; true if it is the last. */
function settles(exchange: Exchange, reply: Message): boolean {
  if (reply.flags & NLM_F_DUMP_INTR) exchange.interrupted = true;
  if (reply.type !== NLMSG_ERROR && reply.type !== NLMSG_DONE) {
    exchange.messages.push(reply);
    return false;
  }
  const ack = decodeAck(reply);
  exchange.error = ackError(exchange.op, ack);
  // A success may come with a warning.
  if (!exchange.error && ack.extack) exchange.messages.push(reply);
  return true;
}

/** Runs `work` with a socket of a netlink protocol, NETLINK_*, and closes it. */
export async function withRequests<Result>(sys: Sys, protocol: number, work: (requests: Requests) => Promise<Result>): Promise<Result> {
  const requests = new Requests(sys, protocol);
  try {
    return await work(requests);
  } finally {
    requests.close();
  }
}
