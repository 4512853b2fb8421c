import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../src/errors.ts";
import { Descriptor } from "../../src/sink/descriptor.ts";
import { EAGAIN, EINTR, type Memory, POLLERR, POLLHUP, POLLOUT } from "../../src/sys/sys.ts";
import { memory } from "../../src/wire/native.ts";
import { FakeSys } from "../fake_sys.ts";

const ENOSPC = 28;
const EPIPE = 32;

/** A descriptor that answers each write with the next of these results, and then accepts everything. */
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

/** Writes everything, however long it takes. */
async function writeAll(descriptor: Descriptor, bytes: Memory): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const count = descriptor.write(bytes.subarray(at));
    if (count === 0) await descriptor.writable();
    at += count;
  }
}

const text = (value: string): Memory => {
  const bytes = memory(value.length);
  new TextEncoder().encodeInto(value, bytes);
  return bytes;
};

test("a pipe is written in pieces that it accepts at once", () => {
  const sys = new FakeOutput(false);
  assertEquals(new Descriptor(sys, 1, "x").write(memory(10_000)), 10_000);
  assertEquals(sys.written, [4096, 4096, 1808]);
});

test("a file is written in one piece, and so is what was opened without blocking", () => {
  for (const [sys, nonblocking] of [[new FakeOutput(true), false], [new FakeOutput(false), true]] as const) {
    new Descriptor(sys, 1, "x", { nonblocking }).write(memory(10_000));
    assertEquals(sys.written, [10_000]);
  }
});

test("writing continues after the kernel took only a part, was interrupted, or had no room", async () => {
  const sys = new FakeOutput(true, 3, -EINTR, -EAGAIN, -EAGAIN, 1);
  await writeAll(new Descriptor(sys, 1, "x"), text("hello world"));
  assertEquals(sys.text, "hello world");
});

test("a reader that does not read is waited for", async () => {
  const sys = new FakeOutput(false);
  let asked = 0;
  sys.poll = () => ++asked > 4 ? POLLOUT : 0;
  await writeAll(new Descriptor(sys, 1, "x"), text("text"));
  assertEquals([asked, sys.text], [5, "text"]);
});

for (const [code, errno] of Object.entries({ EPIPE, ENOSPC })) {
  test(`a descriptor fails with ${code}`, () => {
    const error = assertThrows(() => new Descriptor(new FakeOutput(true, -errno), 1, "x").write(text("text")), SystemError);
    assertEquals(error.code, code);
  });
}

test("an empty write does nothing", () => {
  const sys = new FakeOutput(false);
  assertEquals(new Descriptor(sys, 1, "x").write(memory(0)), 0);
  assertEquals(sys.written, []);
});

test("a descriptor accepts what the kernel accepts now, and reports a failure at the next call", () => {
  const sys = new FakeOutput(true, 3, -ENOSPC, -ENOSPC);
  const descriptor = new Descriptor(sys, 9, "x.txt");
  assertEquals(descriptor.write(new Uint8Array(10)), 3);
  const error = assertThrows(() => descriptor.write(new Uint8Array(7)), SystemError);
  assertEquals([error.code, error.op], ["ENOSPC", "write x.txt"]);
  sys.poll = () => 0;
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

test("what poll(2) says of a pipe or a socket that nobody reads is that it is abandoned, until it is closed", () => {
  let events = 0;
  const sys = new class extends FakeSys {
    override poll(): number {
      return events;
    }
  }();
  const descriptor = new Descriptor(sys, 1, "x");
  for (const [answer, expected] of [[0, false], [POLLOUT, false], [POLLERR, true], [POLLHUP, true]] as const) {
    events = answer;
    assertEquals(descriptor.isAbandoned, expected);
  }
  descriptor.close();
  assertEquals(descriptor.isAbandoned, false);
});
