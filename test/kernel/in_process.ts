/** The command within this process. */
import { assert, assertEquals } from "@std/assert";
import { main } from "../../cli/main.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "../cli/fake_io.ts";
import { soon, until } from "./scene.ts";

/** The command within this process, for everything that needs no real signal: it starts immediately. */
export class Command {
  readonly io: FakeIo;
  readonly status: Promise<number>;

  constructor(words: readonly string[], options?: FakeIoOptions) {
    this.io = fakeIo(options);
    this.status = soon(main(words, this.io), () => `the end of ${words.join(" ")}; it said ${this.io.errors()}`);
    this.status.catch(() => {});
  }

  /** Waits until it reports that it samples: then it listens. */
  async samples(): Promise<void> {
    await until(() => `it samples; it said ${this.io.errors()}`, () => this.io.errors().includes("Ctrl-C ends it"));
  }

  /** Ends it as a user would. */
  async end(): Promise<void> {
    assert(this.io.signal("SIGINT"));
    assertEquals(await this.status, 0, this.io.errors());
  }
}
