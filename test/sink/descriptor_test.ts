import { test } from "node:test";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SystemError } from "../../src/errors.ts";
import { Descriptor, FdOutput } from "../../src/sink/descriptor.ts";
import type { Memory } from "../../src/sys/sys.ts";
import { FakeSys } from "../fake_sys.ts";

const EINTR = 4;
const EAGAIN = 11;
const ENOSPC = 28;
const EPIPE = 32;

/** A descriptor that answers each write with the next of these results; then it takes everything. */
class FakeOutput extends FakeSys {
  readonly written: number[] = [];
  text = "";
  readonly #results: number[];
  readonly #isFile: boolean;

  constructor(isFile: boolean, ...results: number[]) {
    super();
    this.#isFile = isFile;
    this.#results = results;
  }

  override seekable(): boolean {
    return this.#isFile;
  }

  override write(_fd: number, bytes: Memory): number {
    const result = Math.min(this.#results.shift() ?? bytes.length, bytes.length);
    this.written.push(result);
    if (result > 0) this.text += new TextDecoder().decode(bytes.subarray(0, result));
    return result;
  }
}

test("FdOutput writes a pipe in pieces that it takes at once", async () => {
  const sys = new FakeOutput(false);
  await new FdOutput(sys, 1).write("x".repeat(10_000));
  assertEquals(sys.written, [4096, 4096, 1808]);
});

test("FdOutput writes a file in one piece", async () => {
  const sys = new FakeOutput(true);
  await new FdOutput(sys, 1).write(new Uint8Array(10_000));
  assertEquals(sys.written, [10_000]);
});

test("FdOutput goes on where the kernel took only a part, was interrupted, or had no room", async () => {
  const sys = new FakeOutput(true, 3, -EINTR, -EAGAIN, -EAGAIN, 1);
  await new FdOutput(sys, 1).write("héllo wörld");
  assertEquals(sys.text, "héllo wörld");
});

test("FdOutput waits for a reader that does not read", async () => {
  const sys = new FakeOutput(false);
  let asked = 0;
  sys.writable = () => ++asked > 4;
  await new FdOutput(sys, 1).write("text");
  assertEquals([asked, sys.text], [5, "text"]);
});

for (const [code, errno] of Object.entries({ EPIPE, ENOSPC })) {
  test(`FdOutput fails with ${code}`, async () => {
    const error = await assertRejects(() => new FdOutput(new FakeOutput(true, -errno), 1).write("text"), SystemError);
    assertEquals(error.code, code);
  });
}

test("FdOutput of nothing writes nothing", async () => {
  const sys = new FakeOutput(false);
  await new FdOutput(sys, 1).write("");
  assertEquals(sys.written, []);
});

test("a descriptor takes what the kernel takes now, and tells a failure by the next call", () => {
  const sys = new FakeOutput(true, 3, -ENOSPC, -ENOSPC);
  const descriptor = new Descriptor(sys, 9, "x.txt");
  assertEquals(descriptor.write(new Uint8Array(10)), 3);
  const error = assertThrows(() => descriptor.write(new Uint8Array(7)), SystemError);
  assertEquals([error.code, error.op], ["ENOSPC", "write x.txt"]);
  sys.writable = () => false;
  assertEquals(descriptor.write(new Uint8Array(7)), 0);
});

test("a descriptor is closed once, and only if it is the destination's own", () => {
  const sys = new FakeOutput(true);
  const closed: number[] = [];
  sys.close = (fd) => closed.push(fd);
  new Descriptor(sys, 1, "standard output").close();
  const own = new Descriptor(sys, 9, "x.txt", { owned: true });
  own.close();
  own.close();
  assertEquals(closed, [9]);
});
