/**
 * Damaged input is a value or the documented error, in bounded steps and of bounded size: a short run with a fixed seed.
 * `run.ts` beside this is the long one. Earlier findings are at the end.
 */
import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { DecodeError } from "../../src/errors.ts";
import { decodeAck, encodeMessage, messageOf, NLMSG_ERROR } from "../../src/wire/message.ts";
import { fromHex, toHex } from "../../src/wire/text.ts";
import { UsageError } from "../../cli/options.ts";
import { Found, type Target, truncations, tryMutations, tryOne, tryTruncations, weigh } from "./engine.ts";
import { decodeWords, encodeWords, mutate, Random } from "./mutate.ts";
import { TARGETS } from "./targets.ts";

const SEED = 0x5eed;
const MUTATIONS = 3000;
/** Maximum number of truncations here, of small recordings first; the long run tries all of them. */
const CUTS = 8000;

function named(name: string): Target {
  return TARGETS.find((target) => target.name === name)!;
}

for (const target of TARGETS) {
  test(`${target.name}: every truncation of small recordings, and seeded mutations of all`, async () => {
    const count = Math.min(truncations(target).count, CUTS);
    assert(count > 0, "nothing is recorded");
    const cut = await tryTruncations(target, { seed: SEED, from: 0, to: count });
    assertEquals(cut.value + cut.refused, count);
    const { value, refused } = await tryMutations(target, { seed: SEED, from: 0, to: MUTATIONS });
    assertEquals(value + refused, MUTATIONS);
    // If all damage were refused immediately, nothing else would be tested.
    assert(value > MUTATIONS / 20, `${value} of ${MUTATIONS} have a value`);
  });
}

test("the same seed makes the same mutations, another seed others", () => {
  for (const { mutate, recordings } of TARGETS) {
    const made = (seed: number): string[] => Array.from({ length: 20 }, (_, i) => toHex(mutate(new Random(seed, i), recordings)));
    assertEquals(made(7), made(7));
    assertNotEquals(made(7), made(8));
  }
});

/** A target that misbehaves. */
function bad(run: (input: Uint8Array) => unknown): Target {
  const recordings = [new Uint8Array(64).fill(7)];
  return { name: "bad", recordings, mutate, run, refuses: (error) => error instanceof DecodeError };
}

test("a crash is found, and made smaller", async () => {
  const target = bad((input) => {
    if (input.length > 3 && input[2] === 0xff) throw new RangeError("Offset is outside the bounds of the DataView");
  });
  const found = await assertRejects(() => tryMutations(target, { seed: 1, from: 0, to: 100_000 }), Found, "Offset is outside");
  assertEquals(toHex(found.input), "0000ff00");
  assert(/seed 1, mutation \d+, 4 bytes: 0000ff00/.test(found.message), found.message);
});

test("an endless loop over the input is found", async () => {
  const target = bad((input) => {
    const view = new DataView(input.buffer, input.byteOffset, input.length);
    for (let at = 0; at < input.length;) at += view.getUint8(at);
  });
  await tryOne(target, new Uint8Array(64).fill(1));
  const restored = DataView.prototype.getUint8;
  await assertRejects(() => tryOne(target, new Uint8Array(64)), Error, "steps");
  // Counting is over when the run is.
  assertEquals(DataView.prototype.getUint8, restored);
});

test("errors lack a stack while inputs are tried, but nothing else", async () => {
  const seen: DecodeError[] = [];
  const make = (): DecodeError => new DecodeError("it", 3, "it is wrong");
  const target: Target = {
    ...bad((input) => {
      seen.push(make());
      if (input.length === 0) throw new TypeError(seen.at(-1)!.message);
      throw seen.at(-1)!;
    }),
    lean: [DecodeError],
  };
  assertEquals(await tryTruncations({ ...target, recordings: [new Uint8Array(2)] }, { seed: 1, from: 1, to: 2 }), { value: 0, refused: 1 });
  const [lean] = seen;
  assertEquals([lean!.name, lean!.message, lean!.offset, lean!.stack], ["DecodeError", make().message, 3, undefined]);
  assert(lean instanceof DecodeError && lean instanceof Error);
  // A report has them all, and afterwards everything is restored.
  await assertRejects(() => tryTruncations(target, { seed: 1, from: 0, to: 1 }), Found, "TypeError: Cannot decode it");
  assert(make().stack !== undefined);
  assertEquals(Object.getPrototypeOf(DecodeError), Error);
});

test("a value that is too large for its input is found", async () => {
  await assertRejects(
    () => tryOne(bad((input) => input.length === 0 ? new Uint8Array(1 << 20) : 0), new Uint8Array()),
    Error,
    "the maximum is",
  );
  await assertRejects(() => tryOne(bad(() => 1n << 200n), new Uint8Array()), Error, "128 bits");
  assertEquals(weigh({ a: [1, "two"], b: new Map([[1, 2n]]), c: new Uint8Array(5) }), 1 + 1 + 1 + 4 + 1 + 1 + 1 + 1 + 6);
});

// What was found.

test("decodeAck: an echoed request that says it is longer than 2 GiB", () => {
  // The offset of what follows it was a negative number.
  for (const length of ["ffffffff", "fdffffff", "00000080", "00000000", "10000000"]) {
    const payload = fromHex(`eaffffff${length}` + "00".repeat(12) + "08000200" + "14000000")!;
    const ack = decodeAck(messageOf(encodeMessage({ type: NLMSG_ERROR, flags: 0x200, sequence: 1 }, payload)));
    assertEquals(ack.errno, 22);
    assert(ack.extackOffset === undefined || ack.extackOffset === 20);
  }
});

test("arguments: -_ and --_ are unknown options", async () => {
  // The parser keeps its list of words under this name: the value of the option took its place.
  for (const words of [["", "-_"], ["", "--_", "x", "y"], ["read", "--_=1", "file"], ["read", "-v_", "file"], ["demo", "--_"]]) {
    assertEquals(await tryOne(named("arguments"), encodeWords(words)), "refused", words.join(" "));
  }
  assertEquals(await tryOne(named("arguments"), encodeWords(["read", "_", "--", "-_"])), "value");
  await assertRejects(async () => await named("command").run(encodeWords(["read", "--_"])), UsageError, "unknown option --_");
});

test("words are bytes, separated by NUL", () => {
  assertEquals(decodeWords(encodeWords(["a", "", "b c", "é"])), ["a", "", "b c", "é"]);
  assertEquals(decodeWords(encodeWords([])), []);
});
