/** If every packet was recorded, `top` reports the same sums as tshark. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { main } from "../../../cli/main.ts";
import { MADE } from "../../packet/made.ts";
import { pcapFile } from "../../support/capture_files.ts";
import { output, programs } from "../../support/programs.ts";
import { fakeIo } from "../fake_io.ts";

/** Packets of every kind, some of them often, none longer than a link carries. */
const packets = Object.values(MADE).filter(({ length }) => length <= 1500)
  .flatMap((bytes, i) => Array.from({ length: 1 + i % 5 }, (_, k) => ({ bytes, seconds: 1_784_000_000 + i, fraction: k })));

/** Two keys of `top`, and tshark's fields for them in the headers of `protocol`. */
interface Fields {
  readonly by: string;
  readonly protocol: string;
  readonly fields: readonly [string, string];
}

/** The packets and bytes of each pair of keys, by what tshark reads in the outermost headers. */
function sums(path: string, { protocol, fields }: Fields): Record<string, [packets: number, bytes: number]> {
  const options = ["frame.len", "frame.protocols", ...fields].flatMap((field) => ["-e", field]);
  const { out, err, status } = output("tshark", "-r", path, "-T", "fields", "-E", "occurrence=f", "-E", "separator=|", ...options);
  assertEquals(status, 0, err);
  const sums: Record<string, [number, number]> = {};
  for (const line of out.split("\n").filter(Boolean)) {
    const [size, protocols, source, destination] = line.split("|") as [string, string, string, string];
    // The first network header, unless it is in a frame that is in the packet.
    const [, ...outermost] = protocols.split(":eth:ethertype:")[0]!.split(":");
    if (protocol !== "eth" && outermost.find((name) => name === "ip" || name === "ipv6") !== protocol) continue;
    const sum = sums[`${source} ${destination}`] ??= [0, 0];
    sum[0]++;
    sum[1] += Number(size);
  }
  return sums;
}

const KEYS: readonly Fields[] = [
  { by: "macsource,macdestination", protocol: "eth", fields: ["eth.src", "eth.dst"] },
  { by: "ip4source,ip4destination", protocol: "ip", fields: ["ip.src", "ip.dst"] },
  { by: "ip6source,ip6destination", protocol: "ipv6", fields: ["ipv6.src", "ipv6.dst"] },
];

for (const keys of KEYS) {
  const { by } = keys;
  test(`top --by ${by} adds up what tshark does`, programs("tshark"), async () => {
    const directory = mkdtempSync(join(tmpdir(), "psample-"));
    try {
      const file = pcapFile(packets, { linkType: 1 });
      const path = join(directory, "packets.pcap");
      writeFileSync(path, file);
      const theirs = sums(path, keys);
      const io = fakeIo({ input: { "packets.pcap": file } });
      assertEquals(await main(["top", "--rate", "1", "--json", "--by", by, "packets.pcap"], io), 0, io.errors());
      const ours = io.text().trim().split("\n").map((line) => JSON.parse(line));
      assert(ours.length > 0);
      for (const { packetsRange, bytesRange, packets, bytes } of ours) {
        assertEquals([packetsRange, bytesRange], [[packets, packets], [bytes, bytes]]);
      }
      assertEquals(
        Object.fromEntries(ours.map(({ by, packets, bytes }) => [Object.values(by).join(" "), [packets, bytes]])),
        theirs,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
