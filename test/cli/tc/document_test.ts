import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { documentWriter } from "../../../cli/tc/format/document.ts";

const OPTIONS = { stats: false, raw: false, json: true, pretty: false, oneline: false };

test("JSON stays valid, and controls no terminal, whatever the name of a device", () => {
  const name = 'a"b\\c\t\u0001\u001b[2J\u007f\u009b31m\u202e\u2028\u{e0001}é\u{1f600}';
  for (const pretty of [false, true]) {
    const out = documentWriter({ ...OPTIONS, pretty });
    out.open();
    out.field("dev", name, "");
    out.close();
    const text = out.finish();
    assertEquals(JSON.parse(text), [{ dev: name }]);
    // deno-lint-ignore no-control-regex
    assertEquals(/[\0-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]/.test(text), false);
  }
});
