import { test } from "node:test";
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { OpenSinks } from "../../cli/open_sinks.ts";
import { TestSink } from "../stream/pump_ends.ts";

test("what is made of the same stays open; only what was opened anew is closed when something cannot be opened", async () => {
  const first = new OpenSinks();
  const madeOf = ["sFlow", "192.0.2.9", { agents: new Map([[3, "192.0.2.1"]]) }];
  const kept = await first.take(madeOf, () => Promise.resolve(new TestSink("kept")));
  const old = await first.take(["IPFIX", "192.0.2.9"], () => Promise.resolve(new TestSink("old")));
  const second = new OpenSinks(first.sinks);
  const same = ["sFlow", "192.0.2.9", { agents: new Map([[3, "192.0.2.1"]]) }];
  assertStrictEquals(await second.take(same, () => Promise.reject(new Error("it is open"))), kept);
  const other = await second.take(["sFlow", "192.0.2.9", { agents: new Map([[3, "192.0.2.2"]]) }], () => Promise.resolve(new TestSink()));
  assertEquals([...second.sinks.values()], [kept, other]);
  await assertRejects(() => second.take(["IPFIX", "x"], () => Promise.reject(new Error("no such host"))), Error, "no such host");
  second.abort();
  assertEquals([kept.aborted, old.aborted, other.aborted], [0, 0, 1]);
});
