/** Real shells complete the command: what is typed at a terminal, with tabs, and what the shell makes of it. */
import { test } from "node:test";
import { assertStringIncludes } from "@std/assert";
import { programs } from "../support/programs.ts";
import { CompletingShell, SHELLS } from "../support/shells.ts";
import { PATIENCE_MS } from "../support/waiting.ts";

/** What is typed, and the arguments that the command must get. */
const TYPED: readonly (readonly [typed: string, args: string])[] = [
  ["psample expo\t--psa\tba\t", "<export><--psamp><basic>"],
  ["psample export --psamp=st\t", "<export><--psamp=strict>"],
  ["psample top --by=ipsource,ipdest\t", "<top><--by=ipsource,ipdestination>"],
  ["psample demo --csv --fields at,tunnel.sourceP\t", "<demo><--csv><--fields><at,tunnel.sourcePort>"],
  ["psample capture --label coo\t0102=a", "<capture><--label><cookie:0102=a>"],
  ["psample capture --label=gro\t5=a", "<capture><--label=group:5=a>"],
  ["psample read --write=oneli\t", "<read><--write=onelike.pcapng>"],
  ["psample read 'with bl\t", "<read><with blank.pcap>"],
  ["psample read with\\ bl\t", "<read><with blank.pcap>"],
  ["psample -w sub/in\t", "<-w><sub/inside.pcap>"],
  ["psample tc fil\tsho\t", "<tc><filter><show>"],
  ["./psa\tdoct\t", "<doctor>"],
];

for (const start of SHELLS) {
  const { name } = start;
  const needs = { ...programs(name, "script"), timeout: 2 * PATIENCE_MS };

  test(`${name} completes commands, options, values and files`, needs, async () => {
    await using shell = await CompletingShell.start(start, ["onelike.pcapng", "with blank.pcap", "sub/inside.pcap"]);
    // The static zsh of the cache of programs cannot look users up.
    const users = name === "zsh" ? [] : [["psample capture --user roo\t", "<capture><--user><root>"] as const];
    for (const [typed, args] of [...TYPED, ...users]) assertStringIncludes(await shell.run(typed), `${args}.`, JSON.stringify(typed));
  });

  test(`${name} lists devices that exist, and options with what they do`, needs, async () => {
    await using shell = await CompletingShell.start(start);
    await shell.lists("psample capture \t\t", /\bany\b/, /\blo\b/);
    // bash has no room for what they do.
    await shell.lists("psample capture --co\t\t", /--cookie/, /--count/, /--color/, ...name === "bash" ? [] : [/stop after N samples/]);
  });

  test(`${name} finds the script as a file that is installed`, needs, async () => {
    await using shell = await CompletingShell.start({ ...start, setup: start.installed });
    // The first time, which loads it, and again.
    assertStringIncludes(await shell.run("psample expo\t--psa\tba\t"), "<export><--psamp><basic>.");
  });

  test(`${name} makes nothing of the name of a device: anybody may choose it`, needs, async () => {
    await using shell = await CompletingShell.start(start);
    for (const device of ["x$(id)`id`;", "x&|<>", "x*?[a]", "x'q\"q", "x~{a,b}!#%", "x=y@z,"]) {
      shell.answer("", "", `${device}\tup`);
      assertStringIncludes(await shell.run("psample doctor x\t"), `<doctor><${device}>.`);
    }
  });
}
