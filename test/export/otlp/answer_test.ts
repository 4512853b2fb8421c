import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { readOtlpAnswer } from "../../../src/export/otlp/answer.ts";
import { needsProtobuf, protobufOf } from "./reader.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const NOTHING = { rejected: 0, message: "" };

test("answers in JSON say what was rejected, and why", () => {
  const json = (value: unknown, isAccepted: boolean, type = "application/json; charset=utf-8"): unknown =>
    readOtlpAnswer(bytes(JSON.stringify(value)), type, isAccepted);
  assertEquals(json({}, true), NOTHING);
  assertEquals(json({ partialSuccess: {} }, true), NOTHING);
  assertEquals(json({ partialSuccess: { rejectedDataPoints: "3", errorMessage: "too  old\n" } }, true), {
    rejected: 3,
    message: "too old",
  });
  assertEquals(json({ partialSuccess: { rejectedDataPoints: 2 } }, true), { rejected: 2, message: "" });
  assertEquals(json({ partialSuccess: { errorMessage: "deprecated" } }, true), { rejected: 0, message: "deprecated" });
  assertEquals(json({ code: 3, message: "no" }, false), { rejected: 0, message: "no" });
  for (const strange of [null, [], 5, "x", { partialSuccess: 1 }, { partialSuccess: { rejectedDataPoints: "-1", errorMessage: 7 } }]) {
    assertEquals(json(strange, true), NOTHING);
  }
});

test("answers in protobuf say what was rejected, and why", needsProtobuf, () => {
  const read = (body: Uint8Array, isAccepted: boolean): unknown => readOtlpAnswer(body, "application/x-protobuf", isAccepted);
  assertEquals(read(new Uint8Array(), true), NOTHING);
  const partial = (value: unknown): Uint8Array => protobufOf("ExportMetricsServiceResponse", { partialSuccess: value });
  assertEquals(read(partial({}), true), NOTHING);
  assertEquals(read(partial({ rejectedDataPoints: 300, errorMessage: "zu älter" }), true), { rejected: 300, message: "zu älter" });
  assertEquals(read(partial({ rejectedDataPoints: -1 }), true), NOTHING);
  assertEquals(read(protobufOf("Status", { code: 3, message: "no" }), false), { rejected: 0, message: "no" });
  // Cut anywhere, or of other types, it says nothing or less, and nothing fails.
  const whole = partial({ rejectedDataPoints: 300, errorMessage: "x".repeat(300) });
  for (let i = 0; i < whole.length; i++) {
    read(whole.subarray(0, i), true);
    const changed = whole.slice();
    for (const byte of [0, 0x7f, 0x80, 0xff]) {
      changed[i] = byte;
      read(changed, i % 2 === 0);
    }
  }
  assertEquals(read(bytes("<html>"), true), NOTHING);
});

test("other answers are text, cut to a line", () => {
  assertEquals(readOtlpAnswer(bytes("no\nway"), "text/plain", false), { rejected: 0, message: "no way" });
  assertEquals(readOtlpAnswer(bytes("no"), undefined, false), { rejected: 0, message: "no" });
  assertEquals(readOtlpAnswer(bytes("ok"), "text/plain", true), NOTHING);
  assertEquals(readOtlpAnswer(bytes("<html>"), "text/html", false), NOTHING);
  assertEquals(readOtlpAnswer(bytes("x".repeat(5000)), undefined, false).message.length, 203);
});

test("what others say controls no terminal, and has no part of a secret, wherever it is cut", () => {
  const say = (text: string): string => readOtlpAnswer(bytes(text), "text/plain", false).message;
  assertEquals(say("no\x1b[2J\x9b31m way"), "no\\x1b[2J\\xc2\\x9b31m way");
  const secret = "0123456789".repeat(30);
  for (const before of [0, 150, 199, 5000]) {
    const text = `${"x".repeat(before)}${secret} is unknown`;
    for (const [body, type] of [[text, "text/plain"], [JSON.stringify({ message: text }), "application/json"]] as const) {
      const { message } = readOtlpAnswer(bytes(body), type, false, [secret]);
      assertEquals(message.includes("012"), false, message);
    }
  }
});
