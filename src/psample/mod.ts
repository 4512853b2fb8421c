/**
 * Pure decoding of psample messages: bytes in, samples and group events out. Nothing here touches a socket or needs a permission;
 * it runs in a browser too.
 *
 * @example Decode a recorded message
 * ```ts
 * import { decodeMessage, messageOf } from "@psample/psample/decode";
 *
 * const recorded = "3000000000000000000000000000000000010000" + // the two headers
 *   "0800030001000000" + "0800050064000000" + "0a000600aabbccddeeff0000"; // group 1, rate 100, 6 bytes of data
 * const bytes = Uint8Array.from(recorded.match(/../g)!, (byte) => parseInt(byte, 16));
 * const sample = decodeMessage(messageOf(bytes));
 * if (sample?.type !== "sample" || sample.group !== 1 || sample.oneIn !== 100) throw new Error("not what was recorded");
 * ```
 *
 * @module
 */
export { PSAMPLE_GENL_NAME, PSAMPLE_NL_MCGRP_CONFIG_NAME, PSAMPLE_NL_MCGRP_SAMPLE_NAME } from "./constants.ts";
export { decodeFamily, type Family } from "../genl/ctrl.ts";
export { DecodeError } from "../errors.ts";
export { decodeGroup, decodeMessage, type Group, type GroupEvent } from "./group.ts";
export { type DecodeOptions, decodeSample, SampleDecoder, viewSample } from "./sample_decoder.ts";
export type { Sample, SampleFields } from "./sample.ts";
export { type AnySample, SampleView } from "./sample_view.ts";
export { type Message, messageOf, splitMessages } from "../wire/message.ts";
export type { GeneveOption, Tunnel } from "./tunnel.ts";
export type { UnknownAttribute } from "../wire/attr_reader.ts";
