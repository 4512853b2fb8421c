/** What libpsample's text does not contain, in its style: name, blank, value, blank. */
import type { Device, Devices } from "../link/device.ts";
import { linkTypeOf } from "../link/link.ts";
import type { AnySample } from "../psample/sample_view.ts";
import type { GeneveOption, Tunnel } from "../psample/tunnel.ts";
import { hexByte, printable, toHex } from "../wire/text.ts";
import type { Output } from "./output.ts";

const BLANK = 0x20;

/**
 * Writes the details of a sample. Only if `devices` are given, its interfaces have names and its data has a link type.
 *
 * @param sampled The device that the packet was sampled on, if a recording says so; else it is found among `devices`.
 */
export function writeDetails(output: Output, sample: AnySample, devices?: Devices, sampled?: Device): void {
  if (devices) {
    const { inIfindex, outIfindex, nsid } = sample;
    const find = (ifindex: number | undefined, isSampled: boolean): Device | undefined =>
      ifindex === undefined ? undefined : isSampled && sampled ? sampled : devices.find(ifindex, nsid);
    const into = find(inIfindex, outIfindex === undefined);
    const out = find(outIfindex, true);
    writeField(output, "in-name", printable(into?.name));
    writeField(output, "out-name", printable(out?.name));
    sampled ??= outIfindex === undefined ? into : out;
    writeField(output, "link-type", linkTypeOf(sampled?.type, sample.protocol, sample.data));
  }
  if (sample.rateIsProbability && sample.rate !== undefined) {
    writeField(output, "probability", short(sample.rate / 0xffffffff));
    if (sample.oneIn !== undefined) writeField(output, "one-in", short(sample.oneIn));
  }
  writeField(output, "cookie", hexWord(sample.cookie));
  if (sample.tunnel !== undefined) writeTunnel(output, sample.tunnel);
  writeField(output, "nsid", sample.nsid);
  if (sample.portId !== 0) writeField(output, "sender", sample.portId);
  for (const { type, value } of sample.unknown) writeField(output, `attr-${type}`, hexWord(value));
}

function writeTunnel(output: Output, tunnel: Tunnel): void {
  writeField(output, "tunnel-id", tunnel.id);
  writeField(output, "tunnel-src", tunnel.source);
  writeField(output, "tunnel-dst", tunnel.destination);
  writeField(output, "tunnel-tos", tunnel.tos);
  writeField(output, "tunnel-ttl", tunnel.ttl);
  writeField(output, "tunnel-sport", tunnel.sourcePort);
  writeField(output, "tunnel-dport", tunnel.destinationPort);
  const flags: string[] = [];
  if (tunnel.dontFragment) flags.push("df");
  if (tunnel.checksum) flags.push("csum");
  if (tunnel.oam) flags.push("oam");
  if (tunnel.ipv4InfoBridge) flags.push("bridge");
  if (flags.length > 0) writeField(output, "tunnel-flags", flags.join(","));
  if (tunnel.geneveOptions) writeField(output, "tunnel-geneve", tunnel.geneveOptions.map(geneveWord).join(",") || "-");
  writeField(output, "tunnel-vxlan", hexWord(tunnel.vxlanOptions));
  writeField(output, "tunnel-erspan", hexWord(tunnel.erspanOptions));
  for (const { type, value } of tunnel.unknown) writeField(output, `tunnel-attr-${type}`, hexWord(value));
}

/** Class, type and value of a Geneve option, as tc writes them. */
export function geneveWord({ optionClass, type, data }: GeneveOption): string {
  const head = `${optionClass.toString(16).padStart(4, "0")}:${hexByte(type)}`;
  return data.length === 0 ? head : `${head}:${toHex(data)}`;
}

function writeField(output: Output, name: string, value: string | number | bigint | undefined): void {
  if (value === undefined) return;
  output.text(name);
  output.reserve(1);
  output.byte(BLANK);
  output.text(String(value));
  output.reserve(1);
  output.byte(BLANK);
}

/** Hexadecimal, or a dash for no bytes at all: every field needs a value to cut by. */
function hexWord(bytes: Uint8Array | undefined): string | undefined {
  return bytes && (bytes.length === 0 ? "-" : toHex(bytes));
}

/** A fraction for people: nine digits say more than the kernel's 32 bits hold. */
function short(value: number): number {
  return Number(value.toPrecision(9));
}
