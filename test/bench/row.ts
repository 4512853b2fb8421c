/** What a row of the table is, and the ways to measure one. */
import { alternate, messages, peer, type Results, subject } from "./process.ts";

/** The extent of the measurement. */
export interface Size {
  /** Multiplies the number of messages or of rounds: 1 for the whole table. */
  scale: number;
  /** Samples for the row about memory. */
  memory: number;
}

/** A measured number, and its maximum. */
export interface Figure {
  /** Its label in the table, after the work: `"p99"`. */
  label?: string;
  /** Its name in the results. */
  name: string;
  /** Its maximum: relative to C if there is a C peer, otherwise in its unit. */
  target: number | undefined;
  /** Compared with the same figure of C. */
  ratio?: boolean;
  /** Factor and unit for printing. */
  unit: string;
  factor?: number;
}

/** A row of the table, or several from the same run. */
export interface Row {
  /** What is done. */
  work: string;
  /** What comes out. */
  figures: Figure[];
  /** Measures it; the caller alternates the order, because the machine may be cold for the first one. */
  measure: (size: Size, cFirst: boolean) => Promise<Pair[]>;
  /** Prepares what is needed before any row is measured. */
  prepare?: () => Promise<void>;
  /** Measured only once, regardless of `--rounds`, because it takes long. */
  once?: boolean;
  /** Whether it is measured with `--quick` too. */
  quick?: boolean;
}

/** Two results measured one after the other, as close in time as possible. */
export interface Pair {
  /** By C, where there is such. */
  c: Results | undefined;
  /** By this package. */
  ours: Results;
}

/** Rounds of two processes that take turns. */
const ROUNDS = 20;

/** Number of messages of a kind in a round: as many as fit into the receive buffer. */
export function drained(kind: string): number {
  const bytes = Number(kind.split("-")[1] ?? 0);
  return kind.startsWith("groups")
    ? 20_000
    : bytes > 10_000
    ? 200
    : bytes > 4096
    ? 1500
    : bytes > 1000
    ? 8000
    : kind === "recorded"
    ? 10_000
    : 20_000;
}

/** A figure that is compared. */
export function ratio(target: number): Figure[] {
  return [{ name: "cpu", target, ratio: true, unit: "ns" }];
}

/** A number of messages or rounds, for this extent. */
export function n(count: number, { scale }: Size): number {
  return Math.max(1, Math.round(count * scale));
}

/** Two processes that take turns. Their input is created when it is needed. */
export function turns(work: string, target: number, peer: () => string[], ours: () => string[]): Row {
  return {
    work,
    figures: ratio(target),
    measure: async (size, peerFirst) => {
      const commands = [peer(), ours()] as const;
      const both = await alternate(peerFirst ? [commands[0], commands[1]] : [commands[1], commands[0]], n(ROUNDS, size));
      return both.map(([first, second]) => peerFirst ? { c: first, ours: second } : { c: second, ours: first });
    },
  };
}

/** Two processes, one after the other. */
export function runs(c: (size: Size) => Promise<Results>, ours: (size: Size) => Promise<Results>): Row["measure"] {
  return async (size, cFirst) => {
    const before = cFirst ? await c(size) : undefined;
    const result = await ours(size);
    return [{ c: before ?? await c(size), ours: result }];
  };
}

/** Only this package. */
export function alone(ours: (size: Size) => Promise<Results>): Row["measure"] {
  return async (size) => [{ c: undefined, ours: await ours(size) }];
}

/** A full socket is drained: by the C program in one way, by us in another. */
export function drain(work: string, kind: string, target: number, c: string[], form: string): Row {
  const count = drained(kind);
  return turns(
    `${work}, ${named(kind)}`,
    target,
    () => [...c.slice(0, -1), ...peer("recv", c.at(-1)!, messages(kind), count)],
    () => subject("drain", form, messages(kind), count),
  );
}

/** Messages of a kind, as the table calls them. */
export function named(kind: string): string {
  const [name, number = ""] = kind.split("-");
  const bytes = `${number === "65000" ? "64 KiB" : `${number} B`}`;
  const names: Record<string, string> = {
    uniform: bytes,
    mixed: `mixed ${bytes}`,
    recorded: "everything recorded, shuffled",
    layouts: `${number} layouts in turn`,
    packets: `1 packet in ${number} matches`,
    groups: `${Number(number).toLocaleString("en")} groups`,
  };
  return names[name!]!;
}

/** This package compared with itself: the cost of more of something. */
export function growth(work: string, target: number, small: () => string[], large: () => string[]): Row {
  return turns(work, target, small, large);
}

/** A row that is measured with `--quick` too. */
export function quick(row: Row): Row {
  return { ...row, quick: true };
}
