/**
 * Recordings to read, and to measure other programs by. The packets are those of few connections: tcpdump looks connections and
 * addresses up in tables of its own that are slow with many, which would flatter us.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as psample from "../../src/psample/constants.ts";
import { genlHeader } from "../../src/genl/ctrl.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { Ledger } from "../../src/receive/ledger.ts";
import { recordToWith } from "../../src/sink/open.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { loadSys } from "../../src/sys/load.ts";
import { encodeMessage, messageOf } from "../../src/wire/message.ts";
import { viewOf } from "../../src/wire/native.ts";

const HOSTS = 80;
const PORTS = 16;
const START_NS = 1_784_000_000_000_000_000n;
const STEP_NS = 10_000n;
/** Samples in a batch of the writer. */
const BATCH = 1024;

/** The first 64 bytes of a TCP segment of one of 1,280 connections. */
function frame(connection: number, i: number): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = viewOf(bytes);
  bytes.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
  // IPv4: version and header length, total length, time to live, TCP, addresses
  bytes.set([0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 6, 0, 0], 14);
  bytes.set([10, 0, 0, 1 + connection % HOSTS, 10, 1, 0, 1], 26);
  view.setUint16(34, 1024 + Math.floor(connection / HOSTS) % PORTS);
  view.setUint16(36, 443);
  view.setUint32(38, Math.imul(i, 1448));
  view.setUint32(42, 1);
  // header length, flag ACK, window
  bytes.set([0x50, 0x10, 0x02, 0x00], 46);
  return bytes;
}

/** A pcapng file with `count` samples, created if it does not exist. */
export async function fewConnections(directory: string, count: number): Promise<string> {
  const path = join(directory, `few-${count}.pcapng`);
  if (existsSync(path)) return path;
  const sys = await loadSys();
  const recording = recordToWith(sys, path);
  const batch = new BatchBuffer();
  batch.devices = { find: () => ({ name: "eth0", type: 1, address: undefined }) };
  for (let i = 0; i < count; batch.clear()) {
    for (const end = Math.min(count, i + BATCH); i < end; i++) {
      const data = frame(i % (HOSTS * PORTS), i);
      batch.add(viewSample(messageOf(encodeMessage({ type: 30, flags: 0 }, genlHeader(psample.PSAMPLE_CMD_SAMPLE), (writer) =>
        writer
          .u16(psample.PSAMPLE_ATTR_IIFINDEX, 3)
          .u32(psample.PSAMPLE_ATTR_SAMPLE_RATE, 1000)
          .u32(psample.PSAMPLE_ATTR_ORIGSIZE, 1514)
          .u32(psample.PSAMPLE_ATTR_SAMPLE_GROUP, 5)
          .u32(psample.PSAMPLE_ATTR_GROUP_SEQ, i)
          .u64(psample.PSAMPLE_ATTR_TIMESTAMP, START_NS + BigInt(i) * STEP_NS)
          .u16(psample.PSAMPLE_ATTR_PROTO, 0x0800)
          .bytes(psample.PSAMPLE_ATTR_DATA, data)))));
    }
    recording.take(batch);
    await recording.full();
  }
  await recording.close({ stats: new Ledger().stats(0), period: undefined });
  return path;
}
