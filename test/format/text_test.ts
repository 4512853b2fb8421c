import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import type { SampleView } from "../../src/psample/sample_view.ts";
import { Output } from "../../src/format/output.ts";
import { formatGroupEvent, formatGroups, formatText, TextWriter } from "../../src/format/text.ts";
import type { Devices } from "../../src/link/device.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { type Attribute, attributes, bytes, message, number } from "../psample/build.ts";
import { recordedSamples } from "../psample/recordings.ts";
import { messageOf } from "../../src/wire/message.ts";

function sample(list: readonly Attribute[], portId = 0): SampleView {
  return viewSample(messageOf(message(list, { portId }), true));
}

/** asctime(3), done differently than in the writer: the text of Date has the same parts in other places. */
function asctime(timestampNs: bigint, offset = 0): string {
  const [weekday, day, month, year, time] = new Date(Number(timestampNs / 1_000_000n) + offset * 1000).toUTCString().split(" ");
  return `${weekday!.slice(0, 3)} ${month} ${day!.replace(/^0/, " ")} ${time} ${year}`;
}

test("formatText has all fields in the order of libpsample", () => {
  const timestamp = 741484148_000000042n;
  const line = formatText(sample([
    [6, bytes("0102")],
    [14, number(2, 0x86dd)],
    [13, number(8, timestamp)],
    [12, number(8, 0xffff_ffff_ffff_ffffn)],
    [11, number(8, 10000)],
    [10, number(2, 0xffff)],
    [4, number(4, 0xffffffff)],
    [5, number(4, 0x80000000)],
    [2, number(4, 1514)],
    [1, number(2, 4)],
    [0, number(2, 0)],
    [3, number(4, 4000000000)],
  ]));
  assertEquals(
    line,
    "group 4000000000 in-ifindex 0 out-ifindex 4 origsize 1514 sample-rate 2147483648 seq 4294967295 out-tc 65535 out-tc-occ 10000 " +
      `latency 18446744073709551615 timestamp ${asctime(timestamp)} 000000042 nsec protocol 0x86dd \n`,
  );
  // The kernel's own tests cut the occupancy out of a line by its place.
  assertEquals(line.split(" ")[15], "10000");
});

test("formatText leaves out what is absent", () => {
  assertEquals(formatText(sample([])), "\n");
  assertEquals(formatText(sample([[4, number(4, 7)]])), "seq 7 \n");
  assertEquals(formatText(sample([[14, number(2, 0)], [3, number(4, 1)]])), "group 1 protocol 0x0 \n");
});

test("formatText has the right time for every second, across minutes, days and backwards", () => {
  const times = [0n, 999_999_999n, 1_000_000_000n, 59_999_999_999n, 60_000_000_000n, 86_399_123_456_789n, 86_400_000_000_000n];
  const base = 1_784_000_000_000_000_000n;
  for (const time of [...times, ...times.map((time) => base + time), 5n, 0xffff_ffff_ffff_ffffn]) {
    const nanoseconds = String(time % 1_000_000_000n).padStart(9, "0");
    assertEquals(formatText(sample([[13, number(8, time)]])), `timestamp ${asctime(time)} ${nanoseconds} nsec \n`);
  }
});

test("formatText dumps the data like psample -v", () => {
  assertEquals(formatText(sample([[3, number(4, 1)], [6, bytes("")]]), { verbose: true }), "group 1 data len 0\n\n");
  assertEquals(formatText(sample([[3, number(4, 1)]]), { verbose: true }), "group 1 \n");
  assertEquals(
    formatText(sample([[3, number(4, 1)], [6, bytes("202122237e7f80ff000a0d1b303132334142")]]), { verbose: true }),
    "group 1 data len 18\n" +
      '0x0000:  20 21 22 23 7e 7f 80 ff 00 0a 0d 1b 30 31 32 33   !"#~.......0123\n' +
      "0x0010:  41 42                                            AB\n" +
      "\n",
  );
});

test("formatText dumps with offsets that do not wrap", () => {
  const lines = formatText(sample([[6, new Uint8Array(0xfff0)]]), { verbose: true }).split("\n");
  assertEquals(lines.length, 1 + 0xfff + 2);
  assertEquals([lines[16]!.slice(0, 9), lines[17]!.slice(0, 9), lines[0xfff]!.slice(0, 9)], ["0x00f0:  ", "0x0100:  ", "0xffe0:  "]);
});

test("formatText has local time if given its offset from UTC", () => {
  // Central European Time of 2026: summer from 29 March to 25 October, 01:00 UTC.
  const utcOffset = (seconds: number): number => seconds >= 1774746000 && seconds < 1792890000 ? 7200 : 3600;
  for (const seconds of [1774745999n, 1774746000n, 1792889999n, 1792890000n, 1784000000n]) {
    const line = formatText(sample([[13, number(8, seconds * 1_000_000_000n)]]), { utcOffset });
    assertEquals(line, `timestamp ${asctime(seconds * 1_000_000_000n, utcOffset(Number(seconds)))} 000000000 nsec \n`);
  }
});

test("a TextWriter asks for local time once a second", () => {
  let asked = 0;
  const writer = new TextWriter({
    utcOffset: () => {
      asked++;
      return -5 * 3600;
    },
  });
  const output = new Output(16);
  for (const time of [0n, 1n, 999_999_999n, 1_000_000_000n]) writer.writeSample(output, sample([[13, number(8, time)]]));
  assertEquals(asked, 2);
  assertEquals(output.takeText().split("\n")[3], "timestamp Wed Dec 31 19:00:01 1969 000000000 nsec ");
});

test("a TextWriter writes the entries of a batch one after the other, however many", () => {
  const batch = new BatchBuffer();
  const samples = recordedSamples();
  for (const sample of samples) batch.add(sample);
  batch.add({ type: "group-deleted", group: 7, sequence: undefined, refcount: 0, nsid: undefined, portId: 0 });
  const output = new Output(16);
  const writer = new TextWriter({ verbose: true });
  for (let i = 0; i < batch.count; i++) writer.write(output, batch, i);
  assertEquals(output.takeText(), samples.map((sample) => formatText(sample, { verbose: true })).join("") + "deleted group 7 \n");
  assertEquals(output.length, 0);
});

test("a TextWriter names the devices of the batch", () => {
  const batch = new BatchBuffer();
  batch.devices = devices;
  batch.add(sample([[0, number(2, 3)], [14, number(2, 0x800)]]));
  const output = new Output(16);
  new TextWriter({ details: true }).write(output, batch, 0);
  assertEquals(output.takeText(), "in-ifindex 3 protocol 0x800 in-name eth3 link-type ethernet \n");
});

test("formatGroupEvent", () => {
  const event = { refcount: 0, nsid: undefined, portId: 0 };
  assertEquals(
    formatGroupEvent({ ...event, type: "group-created", group: 4294967295, sequence: 0 }),
    "created group 4294967295 with current seq 0 \n",
  );
  assertEquals(
    formatGroupEvent({ ...event, type: "group-deleted", group: 1, sequence: 4000000000 }),
    "deleted group 1 with current seq 4000000000 \n",
  );
  assertEquals(formatGroupEvent({ ...event, type: "group-deleted", group: 1, sequence: undefined }), "deleted group 1 \n");
});

test("formatGroups is the table of psample -l", () => {
  assertEquals(formatGroups([]), "");
  assertEquals(
    formatGroups([{ group: 1, refcount: 2, sequence: 3 }, { group: 4294967295, refcount: 1, sequence: undefined }]),
    "Group Num       Refcount        Group Seq      \n" +
      "1               2               3              \n" +
      "4294967295      1               -              \n",
  );
});

const devices: Devices = {
  find: (ifindex, nsid) => ifindex === 3 ? { name: `eth3${nsid === undefined ? "" : `-${nsid}`}`, type: 1, address: undefined } : undefined,
};

/** What details are there after libpsample's fields, without the newline. */
function details(sample: SampleView, known: Devices | undefined): string {
  const plain = formatText(sample).slice(0, -1);
  const line = formatText(sample, { details: true }, known).slice(0, -1);
  assertEquals(line.slice(0, plain.length), plain);
  return line.slice(plain.length);
}

test("details are the fields that libpsample does not print", () => {
  const list: Attribute[] = [
    [0, number(2, 3)],
    [1, number(2, 4)],
    [5, number(4, 1073741824)],
    [16, bytes("")],
    [15, bytes("00ff")],
    [
      8,
      attributes([
        [0, number(8, 42, false)],
        [1, bytes("c0000201")],
        [13, bytes("20010db8000000000000000000000001")],
        [3, number(1, 0)],
        [4, number(1, 64)],
        [5, bytes("")],
        [6, bytes("")],
        [7, bytes("")],
        [16, bytes("")],
        [8, bytes("0102 80 01 00800022 0103 03 00")],
        [9, number(2, 50000, false)],
        [10, number(2, 6081, false)],
        [11, bytes("aa")],
        [15, bytes("bb")],
        [20, bytes("cc")],
      ]),
    ],
    [17, bytes("dd")],
    [18, bytes("")],
  ];
  const expected = "in-name eth3 link-type ethernet probability 0.25 one-in 4 cookie 00ff tunnel-id 42 tunnel-src 192.0.2.1 " +
    "tunnel-dst 2001:db8::1 tunnel-tos 0 tunnel-ttl 64 tunnel-sport 50000 tunnel-dport 6081 tunnel-flags df,csum,oam,bridge " +
    "tunnel-geneve 0102:80:00800022,0103:03 tunnel-vxlan aa tunnel-erspan bb tunnel-attr-20 cc sender 77 attr-17 dd attr-18 - ";
  assertEquals(details(sample(list, 77), devices), expected);
  assertEquals(
    formatText(sample([...list, [6, bytes("51")]], 77), { details: true, verbose: true }, devices),
    `in-ifindex 3 out-ifindex 4 sample-rate 1073741824 ${expected}data len 1\n0x0000:  51${" ".repeat(47)}Q\n\n`,
  );
});

test("a plain sample has no details; a namespace is a detail", () => {
  assertEquals(details(sample([[0, number(2, 3)], [5, number(4, 100)]]), undefined), "");
  const foreign = viewSample(messageOf(message([[0, number(2, 3)]]), true), 0);
  assertEquals(details(foreign, devices), "in-name eth3-0 link-type ethernet nsid 0 ");
});

test("the link type is that of the device that the packet was sampled on", () => {
  const types: Devices = { find: (ifindex) => ({ name: undefined, type: ifindex === 3 ? 1 : 65534, address: undefined }) };
  assertEquals(details(sample([[0, number(2, 3)], [1, number(2, 4)]]), types), "link-type raw-ip ");
  assertEquals(details(sample([[0, number(2, 3)]]), types), "link-type ethernet ");
});

test("details escape the names of interfaces", () => {
  const named = (name: string): string => details(sample([[0, number(2, 3)]]), { find: () => ({ name, type: 1, address: undefined }) });
  assertEquals(named("eth0.7@x-é"), "in-name eth0.7@x-é link-type ethernet ");
  assertEquals(named("\x1b[31m\n a\\b\x7f"), "in-name \\x1b[31m\\x0a\\x20a\\x5cb\\x7f link-type ethernet ");
  assertEquals(named("a\u202eb\u00a0c\u009b"), "in-name a\\xe2\\x80\\xaeb\\xc2\\xa0c\\xc2\\x9b link-type ethernet ");
});
