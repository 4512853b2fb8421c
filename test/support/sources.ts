/** The sources of the project, as the rules about them see them. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOT } from "../run/project.ts";

/** One file. */
export interface Source {
  /** Relative to the project. */
  readonly path: string;
  /** Without comments. */
  readonly code: string;
  /** Paths relative to the project, or package names. */
  readonly imports: readonly string[];
}

function sourceOf(path: string, text: string): Source {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
  const imports = [...code.matchAll(/\b(?:from |import |import\()"([^"\s]+)"/g)].map(([, specifier]) => {
    return specifier!.startsWith(".") ? normalize(join(dirname(path), specifier!)) : specifier!;
  });
  return { path, code, imports };
}

/** What is published, or what that would be with other files in it. */
export class Sources {
  readonly #files: ReadonlyMap<string, Source>;

  private constructor(files: ReadonlyMap<string, Source>) {
    this.#files = files;
  }

  /** Those of the project: `mod.ts`, `src/` and `cli/`. */
  static read(): Sources {
    const paths = ["mod.ts"];
    for (const directory of ["src", "cli"]) {
      for (const name of readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })) {
        if (name.endsWith(".ts")) paths.push(join(directory, name));
      }
    }
    return new Sources(new Map(paths.map((path) => [path, sourceOf(path, readFileSync(join(ROOT, path), "utf8"))])));
  }

  /** The same with these files added to it, or in the place of others: their code by path. */
  with(files: Readonly<Record<string, string>>): Sources {
    return new Sources(new Map([...this.#files, ...Object.entries(files).map(([path, code]) => [path, sourceOf(path, code)] as const)]));
  }

  /** All files. */
  get all(): Source[] {
    return [...this.#files.values()];
  }

  /** The file there; `undefined` if there is none. */
  at(path: string): Source | undefined {
    return this.#files.get(path);
  }

  /** Everything that is loaded with a file, and the file itself. */
  loadedWith(path: string): Set<string> {
    const seen = new Set([path]);
    for (const loaded of seen) for (const imported of this.at(loaded)?.imports ?? []) seen.add(imported);
    return seen;
  }

  /** The files from one to another, each of which imports the next; `undefined` if nothing leads there. */
  way(from: string, to: string): string[] | undefined {
    const ways = new Map<string, string[]>([[from, [from]]]);
    for (const [path, way] of ways) {
      for (const imported of this.at(path)?.imports ?? []) {
        if (imported === to) return [...way, to];
        if (!ways.has(imported)) ways.set(imported, [...way, imported]);
      }
    }
    return undefined;
  }

  /** The files whose code matches, and what matches first. */
  thatSay(pattern: RegExp): { path: string; said: string }[] {
    return this.all.flatMap(({ path, code }) => {
      const said = pattern.exec(code)?.[0].trim();
      return said === undefined ? [] : [{ path, said }];
    });
  }

  /**
   * A sentence for each file that says what only these others may, and for each of these that does not say it any more.
   *
   * @param why What the reader is told.
   */
  onlyIn(allowed: readonly string[], pattern: RegExp, why: string): string[] {
    const found = this.thatSay(pattern);
    return [
      ...found.filter(({ path }) => !allowed.includes(path)).map(({ path, said }) => `${path} says ${said}: ${why}`),
      ...allowed.filter((path) => !found.some((one) => one.path === path))
        .map((path) => `${path} says nothing like ${pattern} any more: take it off the list of this rule`),
    ];
  }
}
