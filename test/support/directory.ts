/** Temporary directories. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A test with its own directory, which is removed afterwards. `path("")` is the directory. */
export function inDirectory(work: (path: (name: string) => string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), "psample-"));
    try {
      await work((name) => join(directory, name));
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
}
