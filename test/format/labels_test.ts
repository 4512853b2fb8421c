/** Names of groups, cookies and VLANs in the output of the writers. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { CsvWriter, formatGroupEvent, JsonWriter, type Labels, Output, PacketWriter, TextWriter } from "../../src/format/mod.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import type { LineWriter } from "../../src/sink/lines.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { messageOf } from "../../src/wire/message.ts";
import { MADE } from "../packet/made.ts";
import { type Attribute, bytes, message, number } from "../psample/build.ts";

const LABELS: Labels = {
  groups: new Map([[5, "edge"]]),
  cookies: new Map([["0102", "web"]]),
  vlans: new Map([[5, "dmz"], [100, "outer"], [6, "inner"]]),
};

/** A writer's output for samples of these packets, with group, rate and cookie. */
function written(writer: LineWriter, packets: readonly string[], cookie = "0102", group = 5): string {
  const batch = new BatchBuffer();
  batch.devices = { find: () => ({ name: "eth3", type: 1, address: undefined }) };
  for (const name of packets) {
    const list: Attribute[] = [[0, number(2, 3)], [3, number(4, group)], [15, bytes(cookie)], [6, MADE[name]!]];
    batch.add(viewSample(messageOf(message(list), true)));
  }
  const output = new Output(1);
  writer.begin?.(output);
  for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  return output.takeText();
}

test("lines about packets have names in brackets, those of VLANs after their numbers, in tunnels too", () => {
  const line = (name: string, cookie?: string, group?: number): string =>
    written(new PacketWriter({ labels: LABELS, time: "none" }), [name], cookie, group).trimEnd().split("\n").at(-1)!.slice(11);
  const udp = "2001:db8::1.12345 > 2001:db8::2.9999: UDP, length 8";
  assertEquals(line("udp6"), `${udp} (edge, web)`);
  assertEquals(line("udp6", "03"), `${udp} (edge)`);
  assertEquals(line("udp6", "0102", 6), `${udp} (web)`);
  assertEquals(line("udp6", "03", 6), udp);
  assertEquals(line("qinq", "03", 6), `vlan 100 (outer) vlan 4095 ${udp}`);
  assertEquals(
    line("vlan in vxlan in vlan", "03", 6),
    `vlan 5 (dmz) 192.0.2.7.12345 > 10.0.0.1.4789: vxlan 42 | vlan 6 (inner) ${udp}`,
  );
});

test("so has the line with the rate, and group events have the name of the group", () => {
  const batch = new BatchBuffer();
  batch.add(viewSample(messageOf(message([[3, number(4, 5)], [5, number(4, 7)]]), true)));
  const output = new Output(1);
  new PacketWriter({ labels: LABELS }).write(output, batch, 0);
  assertEquals(output.takeText().split("\n")[0], "group 5 (edge): 1/7");
  const event = { type: "group-created", group: 5, refcount: 0, sequence: 0, nsid: undefined, portId: 0 } as const;
  assertEquals(formatGroupEvent(event, LABELS), "created group 5 with current seq 0 group-label edge \n");
  assertEquals(formatGroupEvent({ ...event, group: 6 }, LABELS), formatGroupEvent({ ...event, group: 6 }));
  new JsonWriter({ labels: LABELS }).writeEntry(output, event);
  assertEquals(JSON.parse(output.takeText()), { type: "group-created", group: 5, refcount: 0, sequence: 0, portId: 0, groupLabel: "edge" });
});

test("libpsample's text has them after its own fields", () => {
  const plain = written(new TextWriter(), ["qinq"]);
  assertEquals(
    written(new TextWriter({ labels: LABELS }), ["qinq"]),
    `${plain.slice(0, -1)}group-label edge cookie-label web vlan-label outer \n`,
  );
  assertEquals(written(new TextWriter({ labels: LABELS }), ["udp6"], "03", 6), written(new TextWriter(), ["udp6"], "03", 6));
});

test("JSON and CSV have them under their keys", () => {
  const json = (name: string, cookie?: string): Record<string, unknown> =>
    JSON.parse(written(new JsonWriter({ labels: LABELS }), [name], cookie));
  const { groupLabel, cookieLabel, vlanLabels } = json("vlan in vxlan in vlan");
  assertEquals([groupLabel, cookieLabel, vlanLabels], ["edge", "web", ["dmz", "inner"]]);
  assertEquals(Object.keys(json("udp6", "03")).filter((key) => key.endsWith("Label") || key.endsWith("Labels")), ["groupLabel"]);
  const row = (labels: Labels, fields?: string[]): string[] => written(new CsvWriter({ labels, fields }), ["qinq"]).split("\r\n");
  assertEquals(row(LABELS, ["groupLabel", "cookieLabel", "vlanLabels"])[1], "edge,web,outer");
  assertEquals(row({}, ["groupLabel", "cookieLabel", "vlanLabels"])[1], ",,");
  // Columns of kinds that have names are there by default.
  assertEquals(row({ cookies: LABELS.cookies, vlans: LABELS.vlans })[0]!.split(",").slice(-3), ["oneIn", "cookieLabel", "vlanLabels"]);
});

test("nothing in a name controls a terminal", () => {
  const labels = { groups: new Map([[5, "\x1b[2J"]]), vlans: new Map([[100, "a\u202eb"]]) };
  for (const writer of [new PacketWriter({ labels }), new TextWriter({ labels }), new JsonWriter({ labels }), new CsvWriter({ labels })]) {
    const text = written(writer, ["qinq"]);
    assertEquals(text.includes("\x1b") || text.includes("\u202e"), false, text);
  }
});
