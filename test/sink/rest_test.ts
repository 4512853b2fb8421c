import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Rest } from "../../src/sink/rest.ts";

test("work that takes long is done in a twentieth of the time", () => {
  const rest = new Rest();
  let times = 0;
  for (let nowMs = 0; nowMs < 60_000; nowMs += 1000) {
    if (!rest.isOver(nowMs)) continue;
    rest.done(nowMs, nowMs + 500);
    times++;
  }
  // At 0 and 1 s, and then every 10 s.
  assertEquals(times, 7);
});

test("work that was slow once is done again when it is due", () => {
  const rest = new Rest();
  assertEquals(rest.isOver(0), true);
  rest.done(0, 900);
  assertEquals(rest.isOver(1000), true);
  rest.done(1000, 1010);
  assertEquals([rest.isOver(1199), rest.isOver(1200)], [false, true]);
  rest.done(2000, 2900);
  assertEquals(rest.isOver(3000), true);
});
