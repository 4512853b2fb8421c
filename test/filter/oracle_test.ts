/** An expression matches the same packets as in tcpdump. */
import { existsSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { packetFilter } from "../../src/filter/stage.ts";
import { pcapFile } from "../support/capture_files.ts";
import { inDirectory } from "../support/directory.ts";
import { programs } from "../support/programs.ts";
import { EXPRESSIONS as ALL } from "./expressions.ts";
import { picked } from "./libpcap.ts";
import { type CutPacket, cutPackets } from "./packets.ts";

/** libpcap looks these names up in files that a small system may not have; names of other kinds are built in. */
const KNOWS_NAMES = existsSync("/etc/services") && existsSync("/etc/protocols");
const EXPRESSIONS = ALL.filter((expression) => KNOWS_NAMES || !/(port|portrange|proto) \\?\(?[a-z]/.test(expression));

/** libpcap refuses these words for packets without an Ethernet header; here they match nothing. */
const NEEDS_ETHERNET = /ether (host|src|dst|broadcast|multicast)|^broadcast|^multicast|vlan|mpls/;

/** These load what short packets do not have. */
const BEYOND_THE_END = /\[(?:100|60|70|40)\]/;

/** Number of concurrent processes, low enough for a busy machine. */
const AT_ONCE = 3;

/**
 * libpcap's optimizer leaves out loads whose outcome changes nothing, so that a packet cut there matches (`tcp or not vlan`). Cut
 * packets are therefore judged without it; but of a net's mask it leaves out the words that are empty,
 * and it calculates what is known beforehand, as is done here.
 */
const NEEDS_OPTIMIZER = /net .*:|net 0\.0|\[0 - 1\]/;

function compareAll(
  packets: readonly CutPacket[],
  linkType: number,
  optimized: boolean,
  expressions: readonly string[],
): Promise<void> {
  return inDirectory(async (inside) => {
    const path = inside("packets.pcap");
    writeFileSync(
      path,
      pcapFile(packets.map(({ data, originalBytes }, i) => ({ bytes: data, originalBytes, seconds: i })), { linkType }),
    );
    const waiting = [...expressions];
    const differences: string[] = [];
    let matches = 0;
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let expression = waiting.pop(); expression !== undefined; expression = waiting.pop()) {
        const theirs = await picked(path, expression, optimized || NEEDS_OPTIMIZER.test(expression));
        if (typeof theirs === "string") {
          differences.push(`${expression}: ${theirs}`);
          continue;
        }
        const matching = packetFilter(expression);
        const ours = packets.flatMap(({ data, first, originalBytes }, i) => matching(data, first, originalBytes) ? [i] : []);
        matches += ours.length;
        const only = (a: number[], b: number[]): string => a.filter((i) => !b.includes(i)).slice(0, 5).join();
        if (ours.join() !== theirs.join()) {
          differences.push(`${expression}: only here ${only(ours, theirs)}, only there ${only(theirs, ours)}`);
        }
      }
    }));
    assertEquals(differences, []);
    assert(matches > packets.length, "nothing matches");
  })();
}

test("an expression matches the Ethernet packets that libpcap matches, whole and cut", programs("tcpdump"), async () => {
  assert(ALL.length >= 300, `${ALL.length}`);
  await compareAll(cutPackets().filter(({ first }) => first === "ethernet"), 1, false, EXPRESSIONS);
});

test("and, of those whose headers are whole, those that it matches with its optimizer", programs("tcpdump"), async () => {
  const whole = cutPackets().filter(({ first, data, originalBytes }) =>
    first === "ethernet" && data.length === originalBytes && data.length >= 48
  );
  await compareAll(whole, 1, true, EXPRESSIONS.filter((expression) => !BEYOND_THE_END.test(expression)));
});

test("and those that begin with IP", programs("tcpdump"), async () => {
  const expressions = EXPRESSIONS.filter((expression) => !NEEDS_ETHERNET.test(expression)).filter((_, i) => i % 3 === 0);
  await compareAll(cutPackets().filter(({ first }) => first === "raw-ip"), 101, false, expressions);
});
