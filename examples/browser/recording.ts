/** What the page shows of a recording. Nothing here knows a page, or needs one: it runs in browsers, Deno and Bun alike. */
import { packetFields } from "@psample/psample/packet";
import { type Batch, readRecording } from "@psample/psample/record";

/** One sample, as a row of the page. Absent is what the recording does not contain. */
export interface Row {
  readonly at: string | undefined;
  readonly device: string | undefined;
  readonly group: number | undefined;
  /** N of 1 in N. */
  readonly oneIn: number | undefined;
  /** Size of the packet before it was truncated. */
  readonly bytes: number | undefined;
  readonly packet: string;
}

/** The samples in a recording (pcapng or pcap), and how many more were lost. */
export async function rowsOf(file: AsyncIterable<Uint8Array>): Promise<{ rows: Row[]; lost: number }> {
  await using recording = await readRecording(file);
  const rows: Row[] = [];
  for await (const batch of recording.lentBatches()) {
    for (let i = 0; i < batch.count; i++) {
      const entry = batch.entries[i]!;
      if (entry.type !== "sample") continue;
      rows.push({
        at: batch.hasTime(i) ? new Date(Number(batch.timeNs(i) / 1_000_000n)).toISOString() : undefined,
        device: batch.device(i)?.name,
        group: entry.group,
        oneIn: entry.oneIn,
        bytes: entry.originalBytes,
        packet: textOf(batch, i),
      });
    }
  }
  return { rows, lost: recording.stats().lost };
}

function textOf(batch: Batch, i: number): string {
  const { source, destination, sourcePort, destinationPort, protocolName, cut } = packetFields(batch.packet(i));
  if (source === undefined) return cut === undefined ? "not IP" : `cut in ${cut}`;
  const port = (number: number | undefined): string => number === undefined ? "" : ` port ${number}`;
  return `${protocolName} ${source}${port(sourcePort)} > ${destination}${port(destinationPort)}`;
}
