/** tshark finds the same in a recording, and rewritten recordings are read. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { inDirectory } from "../support/directory.ts";
import { readAll, readPieces } from "../support/reading.ts";
import { readRecording } from "../../src/receive/recording.ts";
import { output, programs } from "../support/programs.ts";

const ODD = new URL("../golden/odd/", import.meta.url).pathname;

/** Times and interfaces of the packets that tshark decodes as samples. */
function tshark(path: string, filter: string): string[][] {
  const fields = ["frame.time_epoch", "frame.interface_name"].flatMap((field) => ["-e", field]);
  const { out } = output("tshark", "-n", "-r", path, "-Y", filter, "-T", "fields", ...fields);
  return out.split("\n").slice(0, -1).map((line) => line.split("\t"));
}

/** The same as read here. */
async function read(path: string, size?: number): Promise<(string | undefined)[][]> {
  const { entries, error } = size === undefined ? await readAll(await readRecording(path)) : await readPieces(readFileSync(path), size);
  assertEquals(error, undefined, path);
  return entries.map(({ timeNs, device }) => {
    return [`${timeNs / 1_000_000_000n}.${String(timeNs % 1_000_000_000n).padStart(9, "0")}`, device];
  });
}

test("samples of odd files are those that tshark finds, at its times", programs("tshark"), async () => {
  for (const name of ["be.pcap", "be-rewritten-on-le.pcap", "pb.le.pcapng", "sll.pcap"]) {
    for (const size of [undefined, 7]) {
      const times = (rows: readonly (readonly (string | undefined)[])[]): (string | undefined)[] => rows.map(([time]) => time);
      assertEquals(times(await read(`${ODD}${name}`, size)), times(tshark(`${ODD}${name}`, "psample")), name);
    }
  }
});

test("the devices of two hosts are those that tshark names", programs("tshark"), async () => {
  const name = "two-hosts-mergecap.pcapng";
  assertEquals(await read(`${ODD}${name}`), tshark(`${ODD}${name}`, "frame"));
});

test(
  "what editcap writes in each of its formats of netlink is read",
  programs("editcap"),
  inDirectory(async (at) => {
    for (const name of ["be.pcap", "sll.pcap", "pb.le.pcapng"]) {
      const expected = (await read(`${ODD}${name}`)).map(([time]) => time);
      for (const format of ["pcap", "pcapng", "nsecpcap", "modpcap", "nokiapcap", "rh6_1pcap", "suse6_3pcap"]) {
        const path = at("written");
        assertEquals(output("editcap", "-F", format, `${ODD}${name}`, path).status, 0, format);
        for (const size of [undefined, 7]) assertEquals((await read(path, size)).map(([time]) => time), expected, `${name} as ${format}`);
      }
    }
  }),
);
