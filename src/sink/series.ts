/** The files of a recording that continues in new ones: how they are called, and which of them are kept. */

/** A directory, as far as a series needs it. */
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

/** The number of a file of the series of `path` by its name; `undefined` if it is not one of them. */
export function seriesNumber(path: string, name: string): number | undefined {
  // No more digits than a number can count up from.
  const [, digits] = /-(\d{5,15})(?:\.[^./]*)?$/.exec(name) ?? [];
  if (digits === undefined) return undefined;
  const number = Number(digits);
  return seriesName(path, number) === name ? number : undefined;
}

/** Names the files of a series, continues what an earlier run began, and keeps only the last ones. */
export class Series {
  readonly #path: string;
  readonly #keep: number;
  readonly #directory: Directory;
  readonly #onProblem: (error: unknown) => void;
  /** Numbers of the files that are there, ascending. */
  readonly #numbers: number[];

  /**
   * The series of `path`. Keeps its last `keep` files, those of earlier runs included; what cannot be removed is told to
   * `onProblem` and let be.
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
   * Opens the next file by `createNew`, and removes those that are too many then. A name that is taken, by a file that could not be
   * seen before or by somebody else just now, is passed over.
   */
  open<File>(createNew: (path: string) => File | undefined): File {
    for (;;) {
      const file = createNew(this.next());
      if (file === undefined) continue;
      this.prune();
      return file;
    }
  }

  /** Removes the files that are too many, the oldest first. To be called when the next file is open. */
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
