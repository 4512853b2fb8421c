/** Programs as text: the same as tcpdump prints. */
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { assert, assertEquals } from "@std/assert";
import { encodeProgram, type Instruction } from "../../src/filter/instructions.ts";
import { programLines } from "../../src/filter/program_text.ts";
import { programs } from "../support/programs.ts";
import { EXPRESSIONS } from "./expressions.ts";

const run = promisify(execFile);

/** Kinds of instructions that are rare: one of each is compiled. */
const RARE = [
  "ether[ether[0] % 7] ^ 3 = len * ip[8] / 2",
  "1 << ip[8] = 32 or -len > 5",
  "(ip[0] | ip[1]) >> (ip[2] - ip[3]) <= tcp[0:4]",
  "ether[0] & ether[1] != ether[2] + ether[3]",
];

test("a program reads as tcpdump prints it", programs("tcpdump"), async () => {
  const seen = new Set<string>();
  // Not all of them: each requires two processes.
  for (const expression of [...RARE, ...EXPRESSIONS.filter((_, i) => i % 12 === 0)]) {
    const words = ["-y", "EN10MB", "-s", "1000"];
    const [numbers, text] = await Promise.all(
      ["-ddd", "-d"].map((form) =>
        run("tcpdump", [...words, form, expression]).then(({ stdout }) => stdout, (error) => {
          if (/rejects all packets|unknown (port|protocol)|syntax error/.test(error.stderr)) return "";
          throw error;
        })
      ),
    );
    if (numbers === "") continue;
    const instructions = numbers!.trim().split("\n").slice(1).map((line) => line.split(" ").map(Number) as unknown as Instruction);
    const lines = programLines(encodeProgram(instructions));
    const said = text!.trimEnd().split("\n").map((line) => line.trimEnd());
    assertEquals(lines, said, expression);
    for (const line of lines) seen.add(line.slice(6, 12).trim());
  }
  assert(seen.size > 15, [...seen].join());
});

test("ancillary data has its name, and unknown instructions are marked", () => {
  const program = encodeProgram([[0x30, 0, 0, 0xfffff030], [0x28, 0, 0, 0xfffff03c], [0x05, 0, 0, 1], [0xff, 0, 0, 2], [
    0x06,
    0,
    0,
    0xffffffff,
  ]]);
  assertEquals(programLines(program), [
    "(000) ldb      [vlanp]",
    "(001) ldh      [vlan_tpid]",
    "(002) ja       4",
    "(003) unimp    #0x2",
    "(004) ret      #-1",
  ]);
});
