/**
 * Recorded sessions of iproute2's tc on a real kernel: the words, the messages that went over netlink, the output and the
 * exit status. golden/record.py made them.
 *
 * Of each case the lines begin with: `$` the command, `?` the exit status, `>` a message to the kernel and `<` one from it in
 * hexadecimal, `|` a line of standard output, `!` one of standard error. A backslash ends the last line of output
 * that has no newline.
 */
import { readFileSync } from "node:fs";
import { ArgumentError } from "../../src/errors.ts";
import { ackError, decodeAck, type Message, NLMSG_DONE, NLMSG_ERROR, splitMessages } from "../../src/wire/message.ts";
import { fromHex } from "../../src/wire/text.ts";
import type { TcRequester } from "../../cli/tc/mod.ts";
import { RTM_GETLINK } from "../../src/link/link.ts";

/** A message of a session. */
export interface Frame {
  /** Whether it went to the kernel. */
  readonly request: boolean;
  /** One or more messages. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** One command of a session. */
export interface Session {
  /** The file it is in. */
  readonly file: string;
  /** The command as it was typed. */
  readonly command: string;
  /** The words after `tc`. */
  readonly words: readonly string[];
  /** The exit status. */
  readonly status: number;
  /** What went over netlink, in order. */
  readonly frames: readonly Frame[];
  /** What it wrote to standard output. */
  readonly out: string;
  /** What it wrote to standard error. */
  readonly err: string;
}

const FILES = ["qdisc", "matchall", "counters", "flower", "u32", "actions", "refusals", "strangers"] as const;

/** The sessions of one file of golden/. */
export function readSessions(file: string): Session[] {
  const text = readFileSync(new URL(`./golden/${file}.hex`, import.meta.url), "utf8");
  return text.trim().split(/\n\n(?=\$ )/).map((block) => readSession(file, block));
}

/** All sessions of tc. */
export function allSessions(): Session[] {
  return FILES.flatMap(readSessions);
}

function readSession(file: string, block: string): Session {
  const lines = block.split("\n");
  const of = (mark: string): string[] => lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(2));
  const command = of("$")[0]!;
  return {
    file,
    command,
    words: split(command).slice(1),
    status: Number(of("?")[0]),
    frames: lines.filter((line) => /^[<>]/.test(line)).map((line) => ({ request: line[0] === ">", bytes: fromHex(line.slice(2))! })),
    out: join(of("|")),
    err: join(of("!")),
  };
}

function join(lines: string[]): string {
  if (lines.length === 0) return "";
  const text = lines.join("\n");
  return text.endsWith("\\") ? text.slice(0, -1) : `${text}\n`;
}

/** The words of a command line, some of them in single quotes. */
function split(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
}

/** The answers to the request for all devices. */
export function linkMessages(): Message[] {
  const [dump] = readSessions("links");
  return dump!.frames.filter((frame) => !frame.request).flatMap((frame) => splitMessages(frame.bytes))
    .filter((message) => message.type !== NLMSG_DONE && message.type !== NLMSG_ERROR);
}

/** The kernel of a session: it answers each request as it did then, and keeps the requests. */
export class ReplayedKernel implements TcRequester {
  /** The requests, without those for devices. */
  readonly asked: Uint8Array[] = [];
  readonly #answers: Frame[][] = [];

  /** Replays `session`. */
  constructor(session: Session) {
    for (const frame of session.frames) {
      if (frame.request) this.#answers.push([]);
      else this.#answers.at(-1)?.push(frame);
    }
  }

  /** Answers as the socket of this package does. */
  request(bytes: Uint8Array<ArrayBuffer>, op: string): Promise<Message[]> {
    if (splitMessages(bytes)[0]!.type === RTM_GETLINK) return Promise.resolve(linkMessages());
    const frames = this.#answers[this.asked.length];
    this.asked.push(bytes);
    if (!frames) return Promise.reject(new ArgumentError(`tc did not ask: ${op}`));
    const messages: Message[] = [];
    for (const message of frames.flatMap((frame) => splitMessages(frame.bytes))) {
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        const error = ackError(op, decodeAck(message));
        if (error) return Promise.reject(error);
      } else {
        messages.push(message);
      }
    }
    return Promise.resolve(messages);
  }
}
