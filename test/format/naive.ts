/** The lines of samples, written without regard to speed, for comparison with the writers. */
import type { SampleView } from "../../src/psample/sample_view.ts";

/** A line of text, in UTC. */
export function naiveText(sample: SampleView, verbose: boolean): string {
  const fields: [string, number | bigint | undefined][] = [
    ["group", sample.group],
    ["in-ifindex", sample.inIfindex],
    ["out-ifindex", sample.outIfindex],
    ["origsize", sample.originalBytes],
    ["sample-rate", sample.rate],
    ["seq", sample.sequence],
    ["out-tc", sample.outTc],
    ["out-tc-occ", sample.outTcOccupancyBytes],
    ["latency", sample.latencyNs],
  ];
  let line = fields.filter(([, value]) => value !== undefined).map(([name, value]) => `${name} ${value} `).join("");
  if (sample.timestampNs !== undefined) {
    const date = new Date(Number(sample.timestampNs / 1_000_000n));
    const [weekday, day, month, year, time] = date.toUTCString().split(" ");
    line += `timestamp ${weekday!.slice(0, 3)} ${month} ${String(Number(day)).padStart(2)} ${time} ${year} `;
    line += `${String(sample.timestampNs % 1_000_000_000n).padStart(9, "0")} nsec `;
  }
  if (sample.protocol !== undefined) line += `protocol 0x${sample.protocol.toString(16)} `;
  if (verbose && sample.data) line += naiveDump(sample.data);
  return `${line}\n`;
}

function naiveDump(data: Uint8Array): string {
  let text = `data len ${data.length}\n`;
  for (let start = 0; start < data.length; start += 16) {
    const bytes = [...data.subarray(start, start + 16)];
    const hex = bytes.map((byte) => `${byte.toString(16).padStart(2, "0")} `).join("").padEnd(48);
    const characters = bytes.map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".").join("");
    text += `0x${start.toString(16).padStart(4, "0")}:  ${hex} ${characters}\n`;
  }
  return text;
}
