/** The language: what it refuses, and which place the error names. */
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/errors.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { parseFilter } from "../../src/filter/language/parse.ts";
import { lower } from "../../src/filter/lower.ts";
import { packetFilter } from "../../src/filter/stage.ts";

function refusal(expression: string): FilterError {
  return assertThrows(() => {
    const tree = parseFilter(expression);
    if (tree) lower(expression, tree, "ethernet");
  }, FilterError);
}

test("an error points at the word, and names what was expected", () => {
  const error = refusal("tcp port foo and udp");
  assert(error instanceof ArgumentError);
  assertEquals(error.name, "FilterError");
  assertEquals(error.position, 9);
  assertEquals(
    error.message,
    [
      "Cannot filter: expected a port: a number up to 65535, or a well-known name such as https",
      "  tcp port foo and udp",
      "           ^~~",
    ].join("\n"),
  );
});

test("invalid filters are refused at the right place", () => {
  const refused: Record<string, [position: number, says: string]> = {
    "10.0.0.1": [0, "a word before this"],
    "foo": [0, "a word of the filter language"],
    "tcp 80": [4, `expected "and", "or" or the end`],
    "tcp or 80": [7, "a word before this"],
    "tcp and": [7, "expected a filter after this"],
    "not": [3, "expected a filter"],
    "tcp and (udp": [8, "not closed"],
    "tcp)": [3, "closing bracket matches no"],
    "tcp[13)": [6, "closing bracket matches no"],
    "()": [1, "expected a filter"],
    "host example.org": [5, "names are not looked up"],
    "host 10.0.0.256": [5, "expected an IP address"],
    "host 1.2.3.4.5": [5, "expected an IP address"],
    "gateway 10.0.0.1": [0, "not looked up"],
    "ip protochain 6": [3, "loop"],
    "src 10.0.0.0/8": [12, "use net"],
    "net 10.0.0.1/8": [4, "beyond its mask"],
    "net 10.0.0.0/33": [13, "from 0 to 32"],
    "net 2001:db8::/129": [15, "from 0 to 128"],
    "net 10/8": [6, "with a dot"],
    "net 10.0.0.0 mask foo": [18, "a mask"],
    "tcp host 10.0.0.1": [9, "not with tcp"],
    "ip host ::1": [8, "ip6"],
    "ip6 host 10.0.0.1": [9, "not with ip6"],
    "host 00:11:22:33:44:55": [5, "ether host"],
    "ether host 10.0.0.1": [11, "hardware address"],
    "ether": [5, "expected host"],
    "icmp port 80": [10, "not with icmp"],
    "port 65536": [5, "up to 65535"],
    "portrange 80-": [10, "two with a hyphen"],
    "ip proto 256": [9, "up to 255"],
    "ether proto 65536": [12, "EtherType"],
    "ether proto 0xe0": [12, "several forms"],
    "tcp or ether proto (0x800 or 0x809b)": [29, "several forms"],
    "src proto 6": [10, "no src"],
    "vlan 4096": [5, "from 0 to 4095"],
    "mpls 1048576": [5, "from 0 to 1048575"],
    "mpls and vlan": [9, "no VLAN tag after MPLS labels"],
    "ip broadcast": [3, "netmask"],
    "tcp multicast": [4, "not with tcp"],
    "len": [3, "a comparison"],
    "len = ": [6, "expected a number"],
    "len = 4294967296": [6, "32 bits"],
    "len / 0 = 1": [0, "division by zero"],
    "len << 32 = 1": [0, "maximum shift"],
    "tcp[13": [3, "not closed"],
    "tcp[13:3] = 1": [7, "1, 2 or 4"],
    "udp and esp[0] = 1": [11, `"and", "or" or the end`],
    "tcp ; udp": [4, "unexpected character"],
    "in": [2, "name of a device"],
    "group five": [6, "expected a number"],
    "latency > 1": [10, "1.5ms"],
    "cookie 012": [7, "hexadecimal"],
    "pppoes": [0, "0x8864"],
  };
  for (const [expression, [position, says]] of Object.entries(refused)) {
    const error = refusal(expression);
    assert(error.message.split("\n")[0]!.includes(says), `${expression}: ${error.message}`);
    assertEquals(error.position, position, error.message);
  }
});

test("hostile expressions are refused cheaply", () => {
  assert(refusal("(".repeat(100) + "tcp" + ")".repeat(100)).message.includes("at most 64 deep"));
  assert(refusal("not ".repeat(1000) + "tcp").message.includes("at most 64 deep"));
  assert(refusal(`len = ${"-".repeat(1000)}1`).message.includes("at most 64 deep"));
  assert(refusal(`len = ${"1 ^ ".repeat(1000)}1`).message.includes("at most 64 deep"));
  assert(refusal("tcp or udp and ".repeat(1000) + "tcp").message.includes("more than 1000 times"));
  assert(refusal(`len = ${"1 + ".repeat(2000)}1`).message.includes("more than 1000 times"));
  assert(refusal("tcp ".repeat(10_000)).message.includes("at most 32768 characters"));
});

test("a long list of hosts is accepted", () => {
  const hosts = Array.from({ length: 3500 }, (_, i) => `${i & 255}.${i >> 8}`);
  const frame = Uint8Array.from([...new Array<number>(12).fill(0), 8, 0, 0x45, ...new Array<number>(11).fill(0), 13, 3, 1, 1, 1, 1, 1, 1]);
  const expression = `host ${hosts.join(" or ")}`;
  assert(packetFilter(expression)(frame, "ethernet"));
  assert(!packetFilter(`not (${expression})`)(frame, "ethernet"));
  const deepest = `${"tcp or ip and ".repeat(499)}ip`;
  assert(packetFilter(deepest)(frame, "ethernet"));
});

test("a message shows part of a long expression, with control characters escaped", () => {
  const [, line, mark] = refusal(`${"tcp or ".repeat(100)}\x1b[31m or udp${" or tcp".repeat(100)}`).message.split("\n");
  assert(line!.length <= 74, line);
  assert(!/[^\x20-\x7e]/.test(line!));
  assertEquals(line!.indexOf("?"), mark!.indexOf("^"));
});

test("times are exact to the nanosecond", () => {
  const times = { "1.005us": 1005, "8.2ms": 8_200_000, "0.009s": 9_000_000, "1.001001001s": 1_001_001_001, "1.5ns": 1.5, "7ns": 7 };
  for (const [time, value] of Object.entries(times)) {
    const tree = parseFilter(`latency ${time}`);
    assertEquals(tree?.kind === "sample" && tree.test, { about: "latency", relation: "=", value }, time);
  }
});

test("an expression without words means no filter", () => {
  assertEquals(parseFilter(""), undefined);
  assertEquals(parseFilter(" \n"), undefined);
});
