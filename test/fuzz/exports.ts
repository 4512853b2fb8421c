/** What collectors are sent of samples that strangers damaged: every message can be read, and says what the sample does. */
import { DecodeError } from "../../src/errors.ts";
import { type DatagramEncoder, Datagrams, type SendDatagrams } from "../../src/export/datagrams.ts";
import { IpfixFlowEncoder } from "../../src/export/ipfix/flow_encoder.ts";
import { IpfixPacketEncoder } from "../../src/export/ipfix/packet_encoder.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { BatchBuffer } from "../../src/stream/batch.ts";
import { messageOf } from "../../src/wire/message.ts";
import { toHex } from "../../src/wire/text.ts";
import { IpfixDecoder, type IpfixRecord, unsigned } from "../export/ipfix/decoder.ts";
import { must } from "./checks.ts";
import { samples } from "./corpus.ts";
import type { Target } from "./engine.ts";
import { mutate } from "./mutate.ts";

const READ_NS = 1_784_000_000_000_000_000n;
const MOST_BYTES = 512;
const HEADER_BYTES = 128;

/** The record of data that an encoder makes of a batch with one sample. */
function recordOf(make: (datagrams: Datagrams, send: SendDatagrams) => DatagramEncoder, batch: BatchBuffer): IpfixRecord {
  const records: IpfixRecord[] = [];
  const decoder = new IpfixDecoder();
  let exported = 0;
  const encoder = make(new Datagrams(new Uint8Array(2 * MOST_BYTES), 2), (datagrams) => {
    for (let i = 0; i < datagrams.count; i++) {
      const bytes = datagrams.bytes.slice(i === 0 ? 0 : datagrams.ends[i - 1]!, datagrams.ends[i]!);
      must(bytes.length <= MOST_BYTES, `a datagram of ${bytes.length} bytes`);
      records.push(...decoder.read(bytes).records.filter(({ scopes }) => scopes === 0));
      exported += datagrams.samples[i]!;
    }
    datagrams.clear();
  });
  encoder.take(batch);
  encoder.end(READ_NS);
  must(records.length === 1 && exported === 1, `${records.length} records of ${exported} samples`);
  return records[0]!;
}

function useIpfix(input: Uint8Array): unknown {
  const sample = viewSample(messageOf(input, true));
  const batch = new BatchBuffer();
  batch.readAtNs = READ_NS;
  batch.add(sample);
  const options = { maxDatagramBytes: MOST_BYTES, strict: true };
  const packet = recordOf((...to) => new IpfixPacketEncoder(...to, { ...options, headerBytes: HEADER_BYTES, enterprise: 32473 }), batch);
  const flow = recordOf((...to) => new IpfixFlowEncoder(...to, { ...options, flows: 1 }), batch);
  const size = sample.originalBytes ?? sample.dataBytes;
  must(unsigned(packet, packet.fields.has("352") ? "352" : "312") === size, "another size");
  const section = packet.fields.get("315") ?? packet.fields.get("313");
  must((section && toHex(section)) === (sample.dataBytes > 0 ? toHex(sample.data!.slice(0, HEADER_BYTES)) : undefined), "other bytes");
  must(unsigned(flow, "2") === 1 && unsigned(flow, "1") <= size, "more than there was");
  return [packet, flow];
}

/** Everything that is sent to collectors. */
export const EXPORT_TARGETS: readonly Target[] = [
  {
    name: "ipfix",
    recordings: samples.filter(({ length }) => length < 2048),
    mutate,
    run: useIpfix,
    refuses: (error) => error instanceof DecodeError,
    lean: [DecodeError],
  },
];
