/** What arrives at JSR when this package is published. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { deno, makeRelease } from "../run/release.ts";
import { type JsrRegistry, type JsrUpload, startJsrRegistry, stdText } from "./jsr_registry.ts";

/** The Deno that runs this, or the one in PATH. */
export const DENO: string = "Bun" in globalThis ? "deno" : process.execPath;

/** A release that `deno publish` has uploaded to a stand-in for JSR. */
export interface Published extends AsyncDisposable {
  readonly registry: JsrRegistry;
  readonly upload: JsrUpload;
  /** A directory for whatever a test needs. */
  readonly directory: string;
  /** Where the release was made, in it. */
  readonly release: string;
  /** Where Deno caches what it gets from the stand-in. */
  readonly cache: string;
}

/**
 * Publishes a release as the workflow does, with the identity of the workflow (OpenID Connect) instead of a password, but without the
 * attestation of where it was built: that is signed by others.
 */
export async function publishRelease(...words: string[]): Promise<Published> {
  const directory = mkdtempSync(join(tmpdir(), "psample-published-"));
  const [release, cache] = [join(directory, "release"), join(directory, "cache")];
  const registry = await startJsrRegistry([stdText()]);
  const dispose = async (): Promise<void> => {
    await registry[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  };
  try {
    makeRelease(release);
    const environment = {
      GITHUB_ACTIONS: "true",
      ACTIONS_ID_TOKEN_REQUEST_URL: `${registry.url}token?workflow=1`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "request-token",
    };
    const { status, err } = await deno(DENO, release, ["publish", "--no-provenance", ...words], { jsr: registry.url, cache, environment });
    const [upload] = registry.uploads;
    if (status !== 0 || upload === undefined) throw new Error(`deno publish ended with status ${status}: ${err}`);
    return { registry, upload, directory, release, cache, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
