/** Why a command is not sent: what ends the reading of its words. */

/** What ends the reading of a command: its text goes to standard error, its status is iproute2's. */
export class TcRefusal extends Error {
  /** The exit status. */
  readonly status: number;

  /** Makes the refusal with `text`. */
  constructor(text: string, status: number) {
    super(text);
    this.status = status;
  }
}

/** Where iproute2 calls exit(-1), or returns -1 from main. */
export const STATUS_USAGE = 255;
/** The status for words that belong to iproute2 and not here. */
export const STATUS_OUTSIDE = 2;

/** The refusal of something that is not about sampling. */
export function outside(what: string): TcRefusal {
  return new TcRefusal(`Cannot do "${what}": psample tc is for sampling only; use tc for it`, STATUS_OUTSIDE);
}

/** iproute2's invarg(). */
export function invalidArgument(why: string, word: string): TcRefusal {
  return new TcRefusal(`Error: argument "${word}" is wrong: ${why}`, STATUS_USAGE);
}

/** iproute2's duparg(). */
export function duplicateArgument(name: string, word: string): TcRefusal {
  return new TcRefusal(`Error: duplicate "${name}": "${word}" is the second value.`, STATUS_USAGE);
}

/** iproute2's text for the value of a keyword of a classifier. */
export function illegal(what: string): TcRefusal {
  return new TcRefusal(`Illegal "${what}"`, 1);
}

/** To throw inside an expression. */
export function fail(error: TcRefusal): never {
  throw error;
}
