import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Pool, seatsOf, shares } from "./pool.ts";

/** Work that ends when it is told to. */
class Work {
  end!: () => void;
  readonly #ended = new Promise<void>((resolve) => this.end = resolve);

  constructor(readonly name: string, readonly log: string[]) {}

  run = async (): Promise<string> => {
    this.log.push(`${this.name} begins`);
    await this.#ended;
    this.log.push(`${this.name} ends`);
    return this.name;
  };
}

/** Lets everything happen that can. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

test("as many run at once as there are seats for, in order, and what is large is not overtaken", async () => {
  const log: string[] = [];
  const [one, two, large, small] = ["one", "two", "large", "small"].map((name) => new Work(name, log));
  const pool = new Pool(3);
  const results = [pool.run(1, one!.run), pool.run(1, two!.run), pool.run(2, large!.run), pool.run(1, small!.run)];
  await turn();
  assertEquals(log.splice(0), ["one begins", "two begins"]);
  two!.end();
  await turn();
  assertEquals(log.splice(0), ["two ends", "large begins"]);
  one!.end();
  await turn();
  assertEquals(log.splice(0), ["one ends", "small begins"]);
  large!.end();
  small!.end();
  assertEquals(await Promise.all(results), ["one", "two", "large", "small"]);
});

test("what takes more seats than there are runs alone, and a failure frees its seats", async () => {
  const log: string[] = [];
  const [one, all, last] = ["one", "all", "last"].map((name) => new Work(name, log));
  const pool = new Pool(2);
  const failing = pool.run(1, () => Promise.reject(new Error("failed"))).catch((error) => error.message);
  const results = [pool.run(1, one!.run), pool.run(9, all!.run), pool.run(1, last!.run)];
  assertEquals(await failing, "failed");
  await turn();
  assertEquals(log.splice(0), ["one begins"]);
  one!.end();
  await turn();
  assertEquals(log.splice(0), ["one ends", "all begins"]);
  all!.end();
  await turn();
  assertEquals(log.splice(0), ["all ends", "last begins"]);
  last!.end();
  await Promise.all(results);
});

test("seats are limited by processors and by memory, and there is one at least", () => {
  const GIB = 2 ** 30;
  assertEquals([seatsOf(1, 64 * GIB), seatsOf(2, 16 * GIB), seatsOf(8, 64 * GIB)], [1, 4, 10]);
  assertEquals([seatsOf(2, 4 * GIB), seatsOf(4, GIB)], [2, 1]);
});

test("every file is in one share, and no share is empty", () => {
  assertEquals(shares(["a", "b", "c", "d", "e"], 2), [["a", "c", "e"], ["b", "d"]]);
  assertEquals(shares(["a"], 3), [["a"]]);
  assertEquals(shares([], 3), []);
});
