/** What happens to a packet after an action: TC_ACT_*, include/uapi/linux/pkt_cls.h. */
import { ArgumentError } from "../errors.ts";

// include/uapi/linux/pkt_cls.h
const TC_ACT_UNSPEC = -1;
export const TC_ACT_OK = 0;
const TC_ACT_RECLASSIFY = 1;
const TC_ACT_SHOT = 2;
const TC_ACT_PIPE = 3;
const TC_ACT_STOLEN = 4;
const TC_ACT_QUEUED = 5;
const TC_ACT_REPEAT = 6;
const TC_ACT_REDIRECT = 7;
const TC_ACT_TRAP = 8;
/** ORed with the number of actions in the list to skip. */
const TC_ACT_JUMP = 0x10000000;
/** ORed with the chain in which classification continues. */
const TC_ACT_GOTO_CHAIN = 0x20000000;
/** The bits of the number that goes with {@linkcode TC_ACT_JUMP} and {@linkcode TC_ACT_GOTO_CHAIN}. */
export const TC_ACT_EXT_VAL_MASK = 0x0fffffff;

const NAMES: Readonly<Record<ControlName, number>> = {
  continue: TC_ACT_UNSPEC,
  pass: TC_ACT_OK,
  reclassify: TC_ACT_RECLASSIFY,
  drop: TC_ACT_SHOT,
  pipe: TC_ACT_PIPE,
  stolen: TC_ACT_STOLEN,
  queued: TC_ACT_QUEUED,
  repeat: TC_ACT_REPEAT,
  redirect: TC_ACT_REDIRECT,
  trap: TC_ACT_TRAP,
};

/**
 * The controls that are a word: `pipe` continues with the next action, `pass` accepts, `continue` tries the next filter.
 *
 * @category Sampling
 */
export type ControlName =
  | "continue"
  | "pass"
  | "reclassify"
  | "drop"
  | "pipe"
  | "stolen"
  | "queued"
  | "repeat"
  | "redirect"
  | "trap";

/**
 * What happens to a packet after an action.
 *
 * @category Sampling
 */
export type Control =
  | ControlName
  | {
    /** How many actions of the list to skip. */
    readonly jump: number;
  }
  | {
    /** The chain to continue in. */
    readonly gotoChain: number;
  }
  | {
    /** A number that has no name here. */
    readonly value: number;
  };

const BY_NUMBER: ReadonlyMap<number, ControlName> = new Map(Object.entries(NAMES).map(([name, value]) => [value, name as ControlName]));

/**
 * The number of a control.
 *
 * @throws {ArgumentError} if a jump or a chain does not fit 28 bits.
 */
export function encodeControl(control: Control): number {
  if (typeof control === "string") {
    const number: number | undefined = Object.hasOwn(NAMES, control) ? NAMES[control] : undefined;
    if (number === undefined) throw new ArgumentError(`Cannot encode the control ${control}: there is no such control`);
    return number;
  }
  if ("jump" in control) return TC_ACT_JUMP | extended("jump", control.jump);
  if ("gotoChain" in control) return TC_ACT_GOTO_CHAIN | extended("goto chain", control.gotoChain);
  return control.value;
}

/** The control of a number. */
export function decodeControl(number: number): Control {
  const kind = number & ~TC_ACT_EXT_VAL_MASK;
  if (kind === TC_ACT_JUMP) return { jump: number & TC_ACT_EXT_VAL_MASK };
  if (kind === TC_ACT_GOTO_CHAIN) return { gotoChain: number & TC_ACT_EXT_VAL_MASK };
  return BY_NUMBER.get(number) ?? { value: number };
}

/** A control in the words of tc(8). */
export function controlText(control: Control): string {
  if (typeof control === "string") return control;
  if ("jump" in control) return `jump ${control.jump}`;
  return "gotoChain" in control ? `goto chain ${control.gotoChain}` : `${control.value}`;
}

function extended(what: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > TC_ACT_EXT_VAL_MASK) {
    throw new ArgumentError(`Cannot encode the control ${what}: ${value} is not between 0 and ${TC_ACT_EXT_VAL_MASK}`);
  }
  return value;
}
