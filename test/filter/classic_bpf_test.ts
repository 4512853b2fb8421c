/** Programs for the kernel: they select what the predicate selects. */
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { compileBpf } from "../../src/filter/classic_bpf.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { packetFilter } from "../../src/filter/stage.ts";
import { runFilter } from "../support/classic_bpf.ts";
import { EXPRESSIONS } from "./expressions.ts";
import { type CutPacket, cutPackets } from "./packets.ts";

/** What the recordings do not exercise: indexes beyond the end, shifts and quotients of packet bytes. */
const ODD = [
  "ip[ip[8] - 100] = 0 or udp",
  "tcp[0 - 20] = 5 or udp",
  "ether[0 - 1] = 0 or tcp",
  "1 << ip[8] = 32 or tcp",
  "ip[8] << len = 0",
  "len >> ip[1] = len",
  "len / ip[1] = 0 or tcp",
  "((ip[0] + ip[1]) * (ip[2] + ip[3])) % (ip[8] + (ip[9] ^ (ip[6] | ip[7]))) < 9",
  "-ip[8] < 5 or tcp",
];

function differences(packets: readonly CutPacket[], expressions: readonly string[]): string[] {
  return expressions.flatMap((expression) => {
    const matches = packetFilter(expression);
    const programs = { ethernet: compileBpf(expression, "ethernet", 1), "raw-ip": compileBpf(expression, "raw-ip", 1) };
    const wrong = packets.findIndex(({ data, first, originalBytes }) =>
      (runFilter(programs[first], data, originalBytes) > 0) !== matches(data, first, originalBytes)
    );
    return wrong < 0 ? [] : [`${expression}: packet ${wrong}`];
  });
}

test("a program selects the packets that the predicate selects, whole and cut", { timeout: 60_000 }, () => {
  const packets = cutPackets();
  const byte: CutPacket = { first: "ethernet", data: new Uint8Array(1), originalBytes: 60 };
  assert(packets.length > 1000);
  // Every expression sees every third packet: three in a row see all.
  assertEquals(
    EXPRESSIONS.flatMap((expression, i) => differences([byte, ...packets.filter((_, j) => j % 3 === i % 3)], [expression])),
    [],
  );
  assertEquals(differences(packets, ODD), []);
});

test("a long program jumps as far as necessary, and one that is too long is refused", () => {
  const hosts = (count: number): string => Array.from({ length: count }, (_, i) => `10.1.${i >> 8}.${i & 255}`).join(" or ");
  const expression = `not ip src host (${hosts(300)}) and udp`;
  assert(compileBpf(expression, "ethernet").length / 8 > 1000);
  assertEquals(
    differences(cutPackets().filter((_, i) => i % 10 === 0), [expression, `tcp or ip src host (${hosts(300)}) or len < 60`]),
    [],
  );
  const error = assertThrows(() => compileBpf(`host ${hosts(1000)}`, "ethernet"), FilterError);
  assert(/instructions; the kernel accepts at most 4096/.test(error.message), error.message);
});

test("what the kernel cannot express is refused", () => {
  assertThrows(() => compileBpf("udp and rate > 5", "ethernet"), FilterError, "only samples have this");
  const nested = `${"(ip[0] + ".repeat(20)}1${")".repeat(20)} = 1`;
  assertThrows(() => compileBpf(nested, "ethernet"), FilterError, "too many brackets");
});

test("an empty expression keeps everything, and the number of bytes to keep is the program's answer", () => {
  assertEquals(runFilter(compileBpf("", "ethernet"), new Uint8Array(70)), 70);
  assertEquals(runFilter(compileBpf("len > 60", "ethernet", 40), new Uint8Array(70)), 40);
  assertEquals(runFilter(compileBpf("len > 60", "ethernet", 40), new Uint8Array(60)), 0);
});
