/**
 * `psample tc`: iproute2's words for sampling, sent by this program itself.
 */
import { errnoText, NetlinkError } from "../../src/errors.ts";
import { encodeLinkDump, LinkTable } from "../../src/link/link.ts";
import { decodeActions } from "../../src/tc/action.ts";
import { decodeFilter } from "../../src/tc/filter.ts";
import { decodeQdisc } from "../../src/tc/qdisc.ts";
import { decodeAck, type Message, NLMSG_ERROR } from "../../src/wire/message.ts";
import { formatActions } from "./format/action.ts";
import { formatFilters } from "./format/filter.ts";
import { formatQdiscs } from "./format/qdisc.ts";
import { needsLinks, parseTc, type TcCommand } from "./parse/command.ts";
import type { TcRequest } from "./request.ts";

/** Who asks the kernel: fills in `nlmsg_seq` and NLM_F_ACK, and waits for the end of the answer. */
export interface TcRequester {
  /**
   * Sends a request and returns the messages of its answer.
   *
   * @throws {NetlinkError} where the kernel refuses.
   */
  request(message: Uint8Array<ArrayBuffer>, op: string): Promise<Message[]>;
}

/** Where `psample tc` prints. */
export interface TcIo {
  /** Writes to standard output. */
  out(text: string): void;
  /** Writes to standard error. */
  err(text: string): void;
}

/**
 * Runs the words behind `psample tc` and returns the exit status, which is iproute2's for the same words; 2 for what is
 * left to iproute2.
 *
 * @param words The words, the options before the object included.
 * @param io Where to print.
 * @param requester A socket of NETLINK_ROUTE, or a function that opens one: it is called only where the words make sense.
 */
export async function runTc(
  words: readonly string[],
  io: TcIo,
  requester: TcRequester | (() => TcRequester | Promise<TcRequester>),
): Promise<number> {
  let opened: TcRequester | undefined;
  const open = async (): Promise<TcRequester> => opened ??= typeof requester === "function" ? await requester() : requester;
  let links = new LinkTable();
  const readLinks = async (): Promise<void> => {
    if (links.size === 0) links = LinkTable.of(await (await open()).request(encodeLinkDump(), "list devices"));
  };
  try {
    // Mistakes in the words are told without the kernel; a device's name cannot be.
    if (needsLinks(words)) await readLinks();
    const command = parseTc(words, links);
    if (command.kind === "usage") {
      io.err(`${command.text}\n`);
      return command.status;
    }
    for (const request of command.requests) {
      // Names are printed where no device was asked for.
      if (request.show && request.show !== "actions" && !request.view.ifindex) await readLinks();
      const status = await send(request, command, io, await open(), links);
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

async function send(request: TcRequest, command: TcCommand, io: TcIo, requester: TcRequester, links: LinkTable): Promise<number> {
  let messages: Message[];
  try {
    messages = await requester.request(request.bytes, request.op);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    io.err(`${refusalText(error)}\n`);
    if (request.failureLine !== undefined) io.err(`${request.failureLine}\n`);
    return request.failureStatus;
  }
  for (const message of messages) {
    if (message.type !== NLMSG_ERROR) continue;
    const warning = decodeAck(message).extack;
    if (warning) io.err(`Warning: ${sentence(warning)}\n`);
  }
  const answers = messages.filter((message) => message.type !== NLMSG_ERROR);
  const nameOf = (ifindex: number): string | undefined => links.nameOf(ifindex);
  const { options } = command;
  const { view } = request;
  if (request.show === "qdiscs") io.out(formatQdiscs(answers.map(decodeQdisc), options, view, nameOf));
  else if (request.show === "filters") io.out(formatFilters(answers.map(decodeFilter), options, view, nameOf));
  else if (request.show === "actions") io.out(formatActions(answers.map(decodeActions), options));
  return 0;
}

/** strerror(3) where it differs from the texts of errors.ts by more than a capital letter. */
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
