/** Reading tar archives, as far as those that `deno publish` and `deno pack` make: files with short names. */
import { gunzipSync } from "node:zlib";

const BLOCK = 512;
const decoder = new TextDecoder();

/** A field of a header: up to its first NUL. */
function field(header: Uint8Array, at: number, length: number): string {
  const bytes = header.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** The files of a gzipped archive by their paths, which begin with neither `/` nor `./`. Anything but a file or a directory is an error. */
export function untar(archive: Uint8Array): Map<string, Uint8Array> {
  const bytes = new Uint8Array(gunzipSync(archive));
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at + BLOCK <= bytes.length;) {
    // The layout of ustar, POSIX.1-1988: name, size in octal, type, and what comes before the name.
    const header = bytes.subarray(at, at + BLOCK);
    if (header[0] === 0) break;
    const prefix = field(header, 257, 5) === "ustar" && header[262] === 0 ? field(header, 345, 155) : "";
    const path = (prefix ? `${prefix}/` : "") + field(header, 0, 100);
    const size = parseInt(field(header, 124, 12).trim(), 8);
    const type = String.fromCharCode(header[156]!);
    if (type === "0" || type === "\0") files.set(path.replace(/^(\.?\/)+/, ""), bytes.slice(at + BLOCK, at + BLOCK + size));
    else if (type !== "5") throw new Error(`${path} in the archive is of type ${JSON.stringify(type)}`);
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
