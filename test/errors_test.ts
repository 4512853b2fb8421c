/** What errors say in one piece as a message, and each part of it as a field: nobody has to read a message. */
import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError, NetlinkError, SystemError } from "../src/errors.ts";
import { settingsOf } from "../src/export/sflow/options.ts";
import { filter } from "../src/filter/stage.ts";
import { FilterError } from "../src/filter/filter_error.ts";
import { parseListenAddress } from "../src/sink/listen_address.ts";
import { parseOtlpUrl } from "../src/sink/otlp_url.ts";
import { parseTarget } from "../src/socket/target.ts";

test("a system error is what was attempted, why it failed, and what to do", () => {
  for (const init of [{}, { hint: "Be root" }, { extack: "Cannot find the device" }, { extack: "No such thing", hint: "Add it" }]) {
    const { message, op, why, hint } = new NetlinkError("sample eth0", 19, init);
    assertEquals(message, `Cannot ${op}: ${why}${hint === undefined ? "" : `. ${hint}`}`);
  }
  assertEquals(new NetlinkError("sample eth0", 19, { extack: "not here", hint: "Add it" }).why, "no such device (ENODEV): not here");
  assertEquals(new SystemError("sample eth0", 4094).why, "errno 4094");
});

test("a filter error is the reason, and the expression with a mark", () => {
  const error = assertThrows(() => filter("tcp port foo and udp"), FilterError);
  assertEquals(error.why, "expected a port: a number up to 65535, or a well-known name such as https");
  assertEquals(error.mark, "  tcp port foo and udp\n           ^~~");
  assertEquals(error.message, `Cannot filter: ${error.why}\n${error.mark}`);
});

test("what is wrong with an argument is known without what was attempted", () => {
  const refused: [attempt: string, parse: () => unknown, why: string][] = [
    ['Cannot send to "192.0.2.9:0"', () => parseTarget("192.0.2.9:0", 6343), 'the port "0" is not a number from 1 to 65535'],
    ['Cannot listen on "::1"', () => parseListenAddress("::1"), "an IPv6 address must be in brackets and have a port, as in [::1]:9410"],
    ['Cannot send by OTLP to "http://a/#b"', () => parseOtlpUrl("http://a/#b"), "a URL to send to has no #"],
  ];
  for (const [attempt, parse, why] of refused) {
    const error = assertThrows(parse, ArgumentError);
    assertEquals([error.why, error.message], [why, `${attempt}: ${why}`]);
  }
  assertEquals(new ArgumentError("rate is required").why, "rate is required");
  const cause = new Error("no file");
  assertEquals(new ArgumentError("Cannot compile", { cause }).cause, cause);
  const error = assertThrows(() => settingsOf({ agent: "192.0.2.1", headerBytes: -1 }), ArgumentError);
  assertEquals([error.argument, error.message], ["headerBytes", `headerBytes ${error.why}`]);
});
