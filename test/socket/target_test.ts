import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { parseTarget, splitTransport, targetText } from "../../src/socket/target.ts";

test("parseTarget reads addresses and names, with a port or without", () => {
  const rows: [string, string][] = [
    ["192.0.2.9", "192.0.2.9:6343"],
    ["192.0.2.9:1", "192.0.2.9:1"],
    ["[2001:db8::9]", "[2001:db8::9]:6343"],
    ["[2001:DB8:0:0::9]:65535", "[2001:db8::9]:65535"],
    ["[::ffff:192.0.2.9]:7", "[::ffff:192.0.2.9]:7"],
    ["[fe80::9%eth0]", "[fe80::9%eth0]:6343"],
    ["[fe80::9%7]:9", "[fe80::9%7]:9"],
    ["[ff02::1%eth0]", "[ff02::1%eth0]:6343"],
    ["collector", "collector:6343"],
    ["collector.example.net:2055", "collector.example.net:2055"],
    ["collector.example.net.", "collector.example.net.:6343"],
    ["3com_x.example", "3com_x.example:6343"],
  ];
  for (const [text, expected] of rows) assertEquals(targetText(parseTarget(text, 6343)), expected);
  assertEquals(parseTarget("[fe80::9%eth0]", 6343).scope, "eth0");
});

test("parseTarget refuses everything else, and says what is right", () => {
  const rows: [string, RegExp][] = [
    ["", /expected an address or a host name/],
    [":6343", /expected an address or a host name/],
    ["a b", /expected an address or a host name/],
    ["-a", /expected an address or a host name/],
    ["a..b", /expected an address or a host name/],
    ["udp://192.0.2.9", /the port "\/\/192.0.2.9" is not a number from 1 to 65535/],
    ["sctp:192.0.2.9", /the port "192.0.2.9" is not a number from 1 to 65535; only udp: and tcp: can be in front of a host/],
    [`${"a".repeat(64)}.example`, /expected an address or a host name/],
    [`${"a.".repeat(127)}a`, /expected an address or a host name/],
    ["192.0.2.9:0", /the port "0" is not a number from 1 to 65535/],
    ["192.0.2.9:", /the port "" is not/],
    ["192.0.2.9:65536", /the port "65536" is not/],
    ["192.0.2.9:1e3", /the port "1e3" is not/],
    ["192.0.2.09", /"192.0.2.09" is not an IPv4 address: it has four numbers from 0 to 255, without leading zeros/],
    ["192.0.2", /"192.0.2" is not an IPv4 address/],
    ["192.0.2.256", /"192.0.2.256" is not an IPv4 address/],
    ["3221225993", /"3221225993" is not an IPv4 address/],
    ["0.0.0.0", /0.0.0.0 is not the address of a host/],
    ["255.255.255.255", /a broadcast reaches no collector/],
    ["2001:db8::9", /must be in brackets, as in \[2001:db8::9\] and \[2001:db8::9\]:6343/],
    ["fe80::9%eth0", /must be in brackets/],
    ["[2001:db8::9", /expected an address or a host name/],
    ["[2001:db8::9]6343", /expected an address or a host name/],
    ["[192.0.2.9]", /"192.0.2.9" is not an IPv6 address/],
    ["[::]", /:: is not the address of a host/],
    ["[fe80::9]", /a link-local address needs its interface: \[fe80::9%eth0\]/],
    ["[fe80::9%]", /the interface after % is missing/],
    ["[2001:db8::9%eth0]", /only a link-local address has an interface/],
    ["192.0.2.9%eth0", /expected an address or a host name/],
  ];
  for (const [text, why] of rows) {
    const error = assertThrows(() => parseTarget(text, 6343), ArgumentError);
    assertEquals(
      [why.test(error.message), error.message.startsWith(`Cannot send to ${JSON.stringify(text)}: `)],
      [true, true],
      error.message,
    );
  }
});

test("splitTransport takes the transport off, and nothing else", () => {
  assertEquals(splitTransport("192.0.2.9:4739"), { transport: "udp", host: "192.0.2.9:4739" });
  assertEquals(splitTransport("udp:[2001:db8::9]"), { transport: "udp", host: "[2001:db8::9]" });
  assertEquals(splitTransport("tcp:collector.example.net:4739"), { transport: "tcp", host: "collector.example.net:4739" });
  assertEquals(splitTransport("TCP:192.0.2.9"), { transport: "tcp", host: "192.0.2.9" });
  // Others are hosts, as far as they can be.
  assertEquals(splitTransport("sctp:192.0.2.9"), { transport: "udp", host: "sctp:192.0.2.9" });
});
