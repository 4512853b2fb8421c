/** Puts a program of classic BPF together: jumps go to labels, however far. */
import { encodeProgram, type Instruction, JUMP, MOST_INSTRUCTIONS } from "./instructions.ts";

/** The farthest that a conditional jump can go. */
const FARTHEST = 255;

/** Where a jump goes: always forward. */
export interface Label {
  /** Index of the instruction, not counting those that long jumps add. */
  at: number;
}

/** A label that has no place yet. */
export function label(): Label {
  return { at: -1 };
}

/** An instruction whose jumps are not yet resolved to distances. */
interface Step {
  readonly code: number;
  readonly constant: number;
  /** Of a jump. */
  readonly yes?: Label;
  /** Of a conditional jump. */
  readonly no?: Label;
}

/** A program under construction. */
export class Assembler {
  readonly #steps: Step[] = [];

  /** Adds an instruction that is no jump. */
  add(code: number, constant = 0): void {
    this.#steps.push({ code, constant });
  }

  /** Adds a jump; it is conditional if there are two labels. */
  jump(code: number, constant: number, yes: Label, no?: Label): void {
    this.#steps.push(no ? { code, constant, yes, no } : { code, constant, yes });
  }

  /** Places the label here. */
  place(label: Label): void {
    label.at = this.#steps.length;
  }

  /**
   * The program with its jumps as distances. Those that are too long for 8 bits are followed by unconditional jumps, which have 32 bits.
   *
   * @param refuse Makes the error about a program that is too long.
   * @param most Maximum number of instructions. Defaults to the kernel's limit.
   */
  assemble(refuse: (why: string) => Error, most: number = MOST_INSTRUCTIONS): Uint8Array<ArrayBuffer> {
    const steps = this.#steps;
    const long = new Set<Step>();
    let starts: number[];
    for (let changed = true; changed;) {
      changed = false;
      let at = 0;
      starts = steps.map((step) => (at += long.has(step) ? 3 : 1) - (long.has(step) ? 3 : 1));
      for (const [i, step] of steps.entries()) {
        const { yes, no } = step;
        if (!yes || !no || long.has(step)) continue;
        if (Math.max(starts[yes.at]!, starts[no.at]!) - starts[i]! - 1 <= FARTHEST) continue;
        long.add(step);
        changed = true;
      }
    }
    const words = steps.flatMap((step, i): Instruction[] => {
      const { code, constant, yes, no } = step;
      const distance = (label: Label, from: number): number => starts[label.at]! - starts[i]! - from - 1;
      if (!yes) return [[code, 0, 0, constant]];
      if (!no) return [[code, 0, 0, distance(yes, 0)]];
      if (!long.has(step)) return [[code, distance(yes, 0), distance(no, 0), constant]];
      return [[code, 0, 1, constant], [JUMP, 0, 0, distance(yes, 1)], [JUMP, 0, 0, distance(no, 2)]];
    });
    if (words.length > most) {
      const limit = most === MOST_INSTRUCTIONS ? "the kernel accepts" : "such a filter can have";
      throw refuse(`this needs ${words.length} instructions; ${limit} at most ${most}`);
    }
    return encodeProgram(words);
  }
}
