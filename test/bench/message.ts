/** Sample messages as the kernel lays them out: the same, attribute by attribute, as the C peers build. */
import { genlHeader } from "../../src/genl/ctrl.ts";
import * as psample from "../../src/psample/constants.ts";
import { encodeMessage } from "../../src/wire/message.ts";

/** The message type that the peers use for psample. */
export const FAMILY = 30;

/** Where the sequence number stands in a message of {@linkcode buildMessage}, as u32 words. */
export const SEQUENCE_WORD = (20 + 5 * 8 + 4) / 4;

/** A sample with `bytes` bytes of data. */
export function buildMessage(sequence: number, bytes: number): Uint8Array<ArrayBuffer> {
  const data = Uint8Array.from({ length: bytes }, (_, i) => i * 7);
  return encodeMessage({ type: FAMILY, flags: 0 }, genlHeader(psample.PSAMPLE_CMD_SAMPLE), (writer) =>
    writer
      .u16(psample.PSAMPLE_ATTR_IIFINDEX, 3)
      .u16(psample.PSAMPLE_ATTR_OIFINDEX, 4)
      .u32(psample.PSAMPLE_ATTR_SAMPLE_RATE, 1000)
      .u32(psample.PSAMPLE_ATTR_ORIGSIZE, 1514)
      .u32(psample.PSAMPLE_ATTR_SAMPLE_GROUP, 5)
      .u32(psample.PSAMPLE_ATTR_GROUP_SEQ, sequence)
      .u64(psample.PSAMPLE_ATTR_TIMESTAMP, BigInt(Date.now()) * 1_000_000n)
      .u16(psample.PSAMPLE_ATTR_PROTO, 0x0800)
      .bytes(psample.PSAMPLE_ATTR_DATA, data));
}

/** `count` messages, numbered from 0. */
export function buildMessages(count: number, bytes: number): Uint8Array<ArrayBuffer>[] {
  return Array.from({ length: count }, (_, i) => buildMessage(i, bytes));
}
