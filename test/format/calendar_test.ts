import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Calendar } from "../../src/format/calendar.ts";

/** All fields, by way of Date. */
function byDate(seconds: number): number[] {
  const date = new Date(seconds * 1000);
  return [
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate(),
    date.getUTCDay(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ];
}

const calendar = new Calendar();

function fields(seconds: number): number[] {
  calendar.set(seconds);
  const { year, month, day, weekday, hour, minute, second } = calendar;
  return [year, month, day, weekday, hour, minute, second];
}

test("Calendar knows every day of 400 years", () => {
  const from = Date.UTC(1770, 0, 1) / 1000;
  for (let day = 0; day <= 146097; day++) {
    // First or last second of the day.
    const seconds = from + day * 86400 + day % 2 * 86399;
    const [found, expected] = [fields(seconds), byDate(seconds)];
    if (found.join() !== expected.join()) assertEquals(found, expected);
  }
});

test("Calendar handles any time after any other", () => {
  let state = 1;
  for (let i = 0; i < 10_000; i++) {
    state = Math.imul(state, 48271) % 0x7fffffff;
    const seconds = Math.floor(state * 4) - 2_000_000_000;
    assertEquals(fields(seconds), byDate(seconds));
  }
  for (const seconds of [0, -1, -86400, -86401, 253402300799, 18446744073, -62135596800]) assertEquals(fields(seconds), byDate(seconds));
});

test("a new Calendar starts in 1970", () => {
  const calendar = new Calendar();
  calendar.set(5);
  assertEquals([calendar.year, calendar.month, calendar.day, calendar.weekday, calendar.second], [1970, 0, 1, 4, 5]);
});
