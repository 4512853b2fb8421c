/**
 * `psample tc`: iproute2's words for sampling, sent by this program itself.
 */
import { ArgumentError, errnoText, NetlinkError, SystemError } from "../../src/errors.ts";
import { encodeLinkDump, LinkTable } from "../../src/link/link.ts";
import { decodeActions } from "../../src/tc/action.ts";
import { decodeFilter } from "../../src/tc/filter.ts";
import { decodeQdisc } from "../../src/tc/qdisc.ts";
import { decodeAck, type Message, NLMSG_ERROR } from "../../src/wire/message.ts";
import type { TcOptions } from "./command.ts";
import { deviceIndex, noDevice } from "./devices.ts";
import { formatActions } from "./format/action.ts";
import { formatFilters } from "./format/filter.ts";
import { formatQdiscs } from "./format/qdisc.ts";
import { parseTc } from "./parse/command.ts";
import { outside, STATUS_USAGE, TcRefusal } from "./parse/refusal.ts";
import { requestOf, type TcRequest } from "./requests.ts";

/** Sends requests to the kernel: fills in `nlmsg_seq` and NLM_F_ACK, and waits for the end of the answer. */
export interface TcRequester {
  /**
   * Sends a request and returns the messages of its answer.
   *
   * @throws {NetlinkError} if the kernel refuses.
   */
  request(message: Uint8Array<ArrayBuffer>, op: string): Promise<Message[]>;
}

/** Where `psample tc` prints. */
export interface TcIo {
  /** Writes to standard output; the next request waits for it. */
  out(text: string): void | Promise<void>;
  /** Writes to standard error. */
  err(text: string): void;
}

/**
 * Runs the words after `psample tc`: words to a command, its device to an index, its tasks to requests, the answers to
 * text. Returns the exit status, which is iproute2's for the same words, and 2 for what is left to iproute2.
 *
 * @param words The words, the options in front of the object included.
 * @param io Where to print.
 * @param requester A socket of NETLINK_ROUTE, or a function that opens one, in a network namespace if one was named. It is called only
 * if the kernel is needed.
 */
export async function runTc(
  words: readonly string[],
  io: TcIo,
  requester: TcRequester | TcOpener,
): Promise<number> {
  const command = parseTc(words);
  const { device, netns } = command;
  // A socket that is already open stays in its namespace.
  if (netns !== undefined && typeof requester !== "function") return refuse(outside("-netns"), io);
  const kernel = new Kernel(typeof requester === "function" ? () => requester(netns) : () => requester);
  try {
    // As in iproute2, before anything else is checked.
    if (netns !== undefined) await kernel.open();
  } catch (error) {
    if (!(error instanceof SystemError || error instanceof ArgumentError)) throw error;
    return refuse(new TcRefusal(error.message, STATUS_USAGE), io);
  }
  try {
    const ifindex = device === undefined ? 0 : deviceIndex(device, await kernel.links());
    if (ifindex === undefined) {
      io.err(`${noDevice(device!)}\n`);
      return 1;
    }
    if (command.kind === "usage") {
      io.err(`${command.text}\n`);
      return command.status;
    }
    for (const task of command.tasks) {
      const status = await run(requestOf(task, ifindex), command.options, io, kernel);
      if (status !== 0) return status;
    }
    return 0;
  } catch (error) {
    // Only the socket itself and the link table come here: iproute2 exits with 1.
    if (!(error instanceof NetlinkError)) throw error;
    io.err(`${error.message}\n`);
    return 1;
  }
}

function refuse({ message, status }: TcRefusal, io: TcIo): number {
  io.err(`${message}\n`);
  return status;
}

/** Opens a socket of NETLINK_ROUTE in a network namespace, or where the thread is. */
export type TcOpener = (netns: string | undefined) => TcRequester | Promise<TcRequester>;

/** The kernel, contacted only when it is needed: mistakes in the words need nothing from it. */
class Kernel {
  readonly #open: () => TcRequester | Promise<TcRequester>;
  #opened: TcRequester | undefined;
  #links: LinkTable | undefined;

  constructor(open: () => TcRequester | Promise<TcRequester>) {
    this.#open = open;
  }

  async open(): Promise<TcRequester> {
    return this.#opened ??= await this.#open();
  }

  /** All devices, as they were when they were first asked for. */
  async links(): Promise<LinkTable> {
    return this.#links ??= LinkTable.of(await (await this.open()).request(encodeLinkDump(), "list devices"));
  }
}

/** Sends a request, prints its answer and returns the exit status. */
async function run(request: TcRequest, options: TcOptions, io: TcIo, kernel: Kernel): Promise<number> {
  const { show, view } = request;
  // Qdiscs and filters say of which device they are.
  const links = show === "qdiscs" || show === "filters" ? await kernel.links() : undefined;
  const requester = await kernel.open();
  let messages: Message[];
  try {
    messages = await requester.request(request.bytes, request.op);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    io.err(`${refusalText(error)}\n`);
    if (request.failureLine !== undefined) io.err(`${request.failureLine}\n`);
    return request.failureStatus;
  }
  const answers: Message[] = [];
  for (const message of messages) {
    if (message.type !== NLMSG_ERROR) {
      answers.push(message);
      continue;
    }
    const warning = decodeAck(message).extack;
    if (warning) io.err(`Warning: ${sentence(warning)}\n`);
  }
  const nameOf = (ifindex: number): string | undefined => links?.nameOf(ifindex);
  if (show === "qdiscs") await io.out(formatQdiscs(answers.map(decodeQdisc), options, view, nameOf));
  else if (show === "filters") await io.out(formatFilters(answers.map(decodeFilter), options, view, nameOf));
  else if (show === "actions") await io.out(formatActions(answers.map(decodeActions), options));
  return 0;
}

/** The texts of strerror(3) that differ from those of errors.ts by more than a capital letter. */
const STRERROR: Readonly<Record<number, string>> = {
  34: "Numerical result out of range",
};

/** A refusal in iproute2's words: the kernel's sentence, or else the name of the error. */
function refusalText(error: NetlinkError): string {
  if (error.extack) return `Error: ${sentence(error.extack)}`;
  const plain = errnoText(error.errno);
  return `RTNETLINK answers: ${STRERROR[error.errno] ?? plain.charAt(0).toUpperCase() + plain.slice(1)}`;
}

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}
