/** The files of a rotated recording: their names, and which of them are kept. */

/** The operations on a directory that a series needs. */
export interface Directory {
  /** The names in the directory that `path` is in; none if it cannot be read. */
  namesBeside(path: string): readonly string[];
  /** Removes a file. */
  remove(path: string): void;
}

/** The name of the file with this number: `FILE-00001.pcapng`. */
export function seriesName(path: string, number: number): string {
  const [, stem, extension] = /^(.*?)(\.[^./]*)?$/s.exec(path)!;
  return `${stem}-${String(number).padStart(5, "0")}${extension ?? ""}`;
}

/** The number of a file in the series of `path`, from its name; `undefined` if it does not belong to it. */
export function seriesNumber(path: string, name: string): number | undefined {
  // No more digits than a number can represent and still count up.
  const [, digits] = /-(\d{5,15})(?:\.[^./]*)?$/.exec(name) ?? [];
  if (digits === undefined) return undefined;
  const number = Number(digits);
  return seriesName(path, number) === name ? number : undefined;
}

/** Names the files of a series, continues that of an earlier run, and keeps only the latest ones. */
export class Series {
  readonly #path: string;
  readonly #keep: number;
  readonly #directory: Directory;
  readonly #onProblem: (error: unknown) => void;
  /** Numbers of the existing files, ascending. */
  readonly #numbers: number[];

  /**
   * The series of `path`. Keeps its last `keep` files, including those of earlier runs; files that cannot be removed are reported to
   * `onProblem` and stay.
   */
  constructor(path: string, directory: Directory, keep = Infinity, onProblem: (error: unknown) => void = () => {}) {
    this.#path = path;
    this.#keep = keep;
    this.#directory = directory;
    this.#onProblem = onProblem;
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    this.#numbers = directory.namesBeside(path)
      .map((name) => seriesNumber(path, `${folder}${name}`))
      .filter((number) => number !== undefined)
      .sort((a, b) => a - b);
  }

  /** The name of the next file. */
  next(): string {
    const number = (this.#numbers.at(-1) ?? 0) + 1;
    this.#numbers.push(number);
    return seriesName(this.#path, number);
  }

  /**
   * Opens the next file with `createNew`, and then removes surplus files. A name that is taken, by a file that could not be seen before or
   * by somebody else just now, is skipped.
   */
  open<File>(createNew: (path: string) => File | undefined): File {
    for (;;) {
      const file = createNew(this.next());
      if (file === undefined) continue;
      this.prune();
      return file;
    }
  }

  /** Removes surplus files, the oldest first. Call it when the next file is open. */
  prune(): void {
    while (this.#numbers.length > this.#keep) {
      try {
        this.#directory.remove(seriesName(this.#path, this.#numbers.shift()!));
      } catch (error) {
        this.#onProblem(error);
      }
    }
  }
}
