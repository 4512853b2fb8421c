/** A sample's tunnel as JSON, as `JSON.stringify` of {@linkcode tunnelToJson} would write it. */
import { type Tunnel, unknownToJson } from "../psample/tunnel.ts";
import type { HexWriter } from "./hex.ts";
import { type Output, Word } from "./output.ts";

const QUOTE = 0x22;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const COMMA = 0x2c;

const ID = new Word('"id":"');
const SOURCE = new Word('"source":"');
const DESTINATION = new Word('"destination":"');
const TOS = new Word('"tos":');
const TTL = new Word('"ttl":');
const DONT_FRAGMENT = new Word('"dontFragment":');
const CHECKSUM = new Word(',"checksum":');
const OAM = new Word(',"oam":');
const SOURCE_PORT = new Word(',"sourcePort":');
const DESTINATION_PORT = new Word(',"destinationPort":');
const GENEVE_OPTIONS = new Word(',"geneveOptions":[');
const OPTION_CLASS = new Word('{"optionClass":');
const OPTION_TYPE = new Word(',"type":');
const OPTION_DATA = new Word(',"data":"');
const OPTION_END = new Word('"}');
const OPTIONS_END = new Word("]");
const VXLAN_OPTIONS = new Word(',"vxlanOptions":"');
const ERSPAN_OPTIONS = new Word(',"erspanOptions":"');
const IPV4_INFO_BRIDGE = new Word(',"ipv4InfoBridge":');
const UNKNOWN = new Word(',"unknown":');
const NO_UNKNOWN = new Word(',"unknown":[]');
const TRUE = new Word("true");
const FALSE = new Word("false");

/** More than all fields other than bytes take. */
const LONGEST = 512;

/** Writes a tunnel as a JSON object; makes its own room. */
export function writeTunnelJson(output: Output, hex: HexWriter, tunnel: Tunnel): void {
  output.reserve(LONGEST);
  output.byte(OPEN);
  if (tunnel.id !== undefined) writeString(output, ID, String(tunnel.id));
  if (tunnel.source !== undefined) writeString(output, SOURCE, tunnel.source);
  if (tunnel.destination !== undefined) writeString(output, DESTINATION, tunnel.destination);
  if (tunnel.tos !== undefined) writeSmall(output, TOS, tunnel.tos);
  if (tunnel.ttl !== undefined) writeSmall(output, TTL, tunnel.ttl);
  writeFlag(output, DONT_FRAGMENT, tunnel.dontFragment);
  writeFlag(output, CHECKSUM, tunnel.checksum);
  writeFlag(output, OAM, tunnel.oam);
  if (tunnel.sourcePort !== undefined) writeNumber(output, SOURCE_PORT, tunnel.sourcePort);
  if (tunnel.destinationPort !== undefined) writeNumber(output, DESTINATION_PORT, tunnel.destinationPort);
  if (tunnel.geneveOptions) {
    output.word(GENEVE_OPTIONS);
    tunnel.geneveOptions.forEach(({ optionClass, type, data }, i) => {
      output.reserve(LONGEST + 2 * data.length);
      if (i > 0) output.byte(COMMA);
      writeNumber(output, OPTION_CLASS, optionClass);
      writeNumber(output, OPTION_TYPE, type);
      output.word(OPTION_DATA);
      output.hex(data);
      output.word(OPTION_END);
    });
    output.word(OPTIONS_END);
  }
  if (tunnel.vxlanOptions) writeBytes(output, hex, VXLAN_OPTIONS, tunnel.vxlanOptions);
  if (tunnel.erspanOptions) writeBytes(output, hex, ERSPAN_OPTIONS, tunnel.erspanOptions);
  writeFlag(output, IPV4_INFO_BRIDGE, tunnel.ipv4InfoBridge);
  if (tunnel.unknown.length === 0) {
    output.word(NO_UNKNOWN);
  } else {
    output.word(UNKNOWN);
    output.text(JSON.stringify(tunnel.unknown.map(unknownToJson)));
    output.reserve(1);
  }
  output.byte(CLOSE);
}

/** These come first, and what follows them is always there. */
function writeString(output: Output, key: Word, text: string): void {
  output.word(key);
  output.text(text);
  output.reserve(LONGEST);
  output.byte(QUOTE);
  output.byte(COMMA);
}

function writeSmall(output: Output, key: Word, value: number): void {
  writeNumber(output, key, value);
  output.byte(COMMA);
}

function writeNumber(output: Output, key: Word, value: number): void {
  output.word(key);
  output.u32(value);
}

function writeFlag(output: Output, key: Word, value: boolean): void {
  output.word(key);
  output.word(value ? TRUE : FALSE);
}

function writeBytes(output: Output, hex: HexWriter, key: Word, bytes: Uint8Array): void {
  output.word(key);
  hex.write(output, bytes);
  output.reserve(LONGEST);
  output.byte(QUOTE);
}
