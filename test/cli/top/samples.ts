/** Recordings for `top`, in memory. */
import { createRecorder } from "../../../src/format/recorders.ts";
import { viewSample } from "../../../src/psample/sample_decoder.ts";
import { messageOf } from "../../../src/wire/message.ts";
import { message, number } from "../../psample/build.ts";
import { hex } from "../../packet/made.ts";
import { devices, record } from "../../support/recorded.ts";

/** A sample of a packet of UDP. */
export interface Sampled {
  /** The last byte of 10.0.0.X, from where it comes. Defaults to 1. */
  readonly from?: number;
  /** Its size. Defaults to 1000. */
  readonly bytes?: number;
  /** Defaults to 100. */
  readonly oneIn?: number;
  /** Seconds after the first of them. Defaults to 0. */
  readonly at?: number;
  /** Whether it was taken on the way out. Defaults to false. */
  readonly out?: boolean;
  /** Whether it came in at `eth0` and was taken where it leaves, at `eth1`. Defaults to false. */
  readonly forwarded?: boolean;
  /** Its number. Defaults to one more than that of the one before. */
  readonly sequence?: number;
  /** The cookie of the action. Defaults to none. */
  readonly cookie?: Uint8Array;
  /** The VLAN in the frame. Defaults to none. */
  readonly vlan?: number;
}

const START_NS = 1_784_000_000_000_000_000n;

/** The first 42 bytes of a datagram from 10.0.0.FROM, port 4000, to 10.9.9.9, port 53. */
export function frame(from: number): Uint8Array {
  const bytes = hex("020000000002020000000001 0800 450003da 00000000 40110000 0a0000ff 0a090909 0fa0 0035 03c6 0000");
  bytes[29] = from;
  return bytes;
}

/** The same with a tag. */
function tagged(frame: Uint8Array, vlan: number): Uint8Array {
  return Uint8Array.from([...frame.subarray(0, 12), 0x81, 0, vlan >> 8, vlan & 255, ...frame.subarray(12)]);
}

/** A recording of these samples, of `eth0` and `eth1`. */
export function recording(samples: readonly Sampled[]): Uint8Array<ArrayBuffer> {
  let next = 0;
  const views = samples.map(
    ({ from = 1, bytes = 1000, oneIn = 100, at = 0, out = false, sequence = next, cookie, vlan, forwarded = false }) => {
      next = sequence + 1;
      return viewSample(messageOf(message([
        [out && !forwarded ? 1 : 0, number(2, 3)],
        ...forwarded ? [[1, number(2, 4)] as const] : [],
        [5, number(4, oneIn)],
        [2, number(4, bytes)],
        [3, number(4, 7)],
        [4, number(4, sequence)],
        [13, number(8, START_NS + BigInt(Math.round(at * 1e9)))],
        [14, number(2, 0x0800)],
        ...cookie ? [[15, cookie] as const] : [],
        [6, vlan === undefined ? frame(from) : tagged(frame(from), vlan)],
      ])));
    },
  );
  return record(createRecorder("pcapng"), views, { devices: devices({ 3: "eth0", 4: "eth1" }, 1) });
}
