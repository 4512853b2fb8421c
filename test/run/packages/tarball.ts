/** Tar archives that are the same for the same files, whoever makes them and when. */
import { gzipSync } from "node:zlib";

/** What is installed at a path. */
export interface InstalledFile {
  /** Permissions, such as 0o755. */
  mode: number;
  content: Uint8Array;
}

/** Files by their paths, without a slash in front. */
export type Tree = Map<string, InstalledFile>;

const BLOCK = 512;

/** A header as POSIX.1-1988 has it (ustar): owned by root, without a name of the machine. */
function header(path: string, mode: number, size: number, seconds: number, isDirectory: boolean): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (at: number, text: string): void => void new TextEncoder().encodeInto(text, block.subarray(at));
  const octal = (at: number, length: number, value: number): void => put(at, value.toString(8).padStart(length - 1, "0"));
  if (path.length > 100) throw new Error(`The path ${path} is too long for the header of a tar archive`);
  put(0, path);
  octal(100, 8, mode);
  octal(108, 8, 0);
  octal(116, 8, 0);
  octal(124, 12, size);
  octal(136, 12, seconds);
  put(148, " ".repeat(8));
  put(156, isDirectory ? "5" : "0");
  put(257, "ustar\x0000");
  put(265, "root");
  put(297, "root");
  put(148, `${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** A gzipped archive of files below a directory, with its directories, in the order of their paths. */
export function tarball(tree: Tree, directory: string, seconds: number, level: number): Uint8Array {
  const parts: Uint8Array[] = [];
  const directories = new Set<string>();
  for (const [path, { mode, content }] of [...tree].sort(([a], [b]) => a < b ? -1 : 1)) {
    const steps = `${directory}/${path}`.split("/").slice(0, -1);
    steps.map((_, i) => `${steps.slice(0, i + 1).join("/")}/`).filter((step) => !directories.has(step)).forEach((step) => {
      directories.add(step);
      parts.push(header(step, 0o755, 0, seconds, true));
    });
    parts.push(header(`${directory}/${path}`, mode, content.length, seconds, false), content);
    parts.push(new Uint8Array((BLOCK - content.length % BLOCK) % BLOCK));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return gzipSync(bytes, { level });
}
