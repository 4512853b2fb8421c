/** What libpsample's text does not contain, in its style: name, space, value, space. */
import type { Device, Devices } from "../link/device.ts";
import { linkTypeOfSample } from "../link/link_type.ts";
import type { AnySample } from "../psample/sample_view.ts";
import type { GeneveOption, Tunnel } from "../psample/tunnel.ts";
import { hexByte, printable, toHex } from "../wire/text.ts";
import { cookieLabel, groupLabel, type Labels } from "./labels.ts";
import { type Output, Word } from "./output.ts";

const BLANK = 0x20;
const DASH = 0x2d;

const LINK_TYPE_ETHERNET = new Word("link-type ethernet ");
const LINK_TYPE_RAW_IP = new Word("link-type raw-ip ");
const PROBABILITY = new Word("probability ");
const ONE_IN = new Word("one-in ");
const COOKIE = new Word("cookie ");
const NSID = new Word("nsid ");
const SENDER = new Word("sender ");
const GROUP_LABEL = new Word("group-label ");
const COOKIE_LABEL = new Word("cookie-label ");
const VLAN_LABEL = new Word("vlan-label ");
const TUNNEL_ID = new Word("tunnel-id ");
const TUNNEL_SRC = new Word("tunnel-src ");
const TUNNEL_DST = new Word("tunnel-dst ");
const TUNNEL_TOS = new Word("tunnel-tos ");
const TUNNEL_TTL = new Word("tunnel-ttl ");
const TUNNEL_SPORT = new Word("tunnel-sport ");
const TUNNEL_DPORT = new Word("tunnel-dport ");
const TUNNEL_FLAGS = new Word("tunnel-flags ");
const TUNNEL_GENEVE = new Word("tunnel-geneve ");
const TUNNEL_VXLAN = new Word("tunnel-vxlan ");
const TUNNEL_ERSPAN = new Word("tunnel-erspan ");

/** More than all fields whose length is bounded; kept in reserve after each one whose length is not. */
const LONGEST = 512;

/** What is written of a device. A device that is renamed is another object. */
interface Named {
  readonly device: Device;
  readonly asInput: Word;
  readonly asOutput: Word;
}

/** A power of two: devices whose indexes differ by less never replace each other. */
const PLACES = 256;

/** Writes the devices that a sample names, and what its data begins with. */
export class DeviceWriter {
  /** The words of devices, each at the low bits of its index, and of all seen so far. */
  readonly #near: (Named | undefined)[] = new Array(PLACES).fill(undefined);
  readonly #all = new WeakMap<Device, Named>();

  /**
   * Writes the devices of a sample.
   *
   * @param sampled The device that the packet was sampled on, if a recording contains it; else it is found among `devices`.
   */
  write(output: Output, sample: AnySample, devices: Devices, sampled?: Device): void {
    const { inIfindex, outIfindex, nsid } = sample;
    let device: Device | undefined;
    if (inIfindex !== undefined) {
      device = sampled !== undefined && outIfindex === undefined ? sampled : devices.find(inIfindex, nsid);
      if (device?.name !== undefined) this.#writeWord(output, this.#named(device).asInput);
    }
    if (outIfindex !== undefined) {
      device = sampled ?? devices.find(outIfindex, nsid);
      if (device?.name !== undefined) this.#writeWord(output, this.#named(device).asOutput);
    }
    const linkType = linkTypeOfSample((sampled ?? device)?.type, sample);
    output.reserve(LONGEST);
    output.word(linkType === "ethernet" ? LINK_TYPE_ETHERNET : LINK_TYPE_RAW_IP);
  }

  #writeWord(output: Output, word: Word): void {
    output.reserve(word.length);
    output.word(word);
  }

  #named(device: Device): Named {
    const place = (device.index ?? 0) & (PLACES - 1);
    const near = this.#near[place];
    if (near?.device === device) return near;
    let named = this.#all.get(device);
    if (!named) {
      const name = printable(device.name!);
      this.#all.set(device, named = { device, asInput: new Word(`in-name ${name} `), asOutput: new Word(`out-name ${name} `) });
    }
    this.#near[place] = named;
    return named;
  }
}

/** Writes the fields of a sample that libpsample does not print. */
export function writeDetails(output: Output, sample: AnySample): void {
  output.reserve(LONGEST);
  const { cookie, tunnel, nsid, portId, unknown } = sample;
  if (sample.rateIsProbability && sample.rate !== undefined) {
    writeNumber(output, PROBABILITY, short(sample.rate / 0xffffffff));
    if (sample.oneIn !== undefined) writeNumber(output, ONE_IN, short(sample.oneIn));
  }
  if (cookie !== undefined) writeBytes(output, COOKIE, cookie);
  if (tunnel !== undefined) writeTunnel(output, tunnel);
  if (nsid !== undefined) writeNumber(output, NSID, nsid);
  if (portId !== 0) writeNumber(output, SENDER, portId);
  for (const { type, value } of unknown) writeBytes(output, new Word(`attr-${type} `), value);
}

/** Writes the labels of a sample. */
export function writeLabels(output: Output, labels: Labels, sample: AnySample, vlans: readonly string[]): void {
  const [group, cookie] = [groupLabel(labels, sample), cookieLabel(labels, sample)];
  output.reserve(LONGEST);
  if (group !== undefined) writeText(output, GROUP_LABEL, printable(group));
  if (cookie !== undefined) writeText(output, COOKIE_LABEL, printable(cookie));
  for (const vlan of vlans) writeText(output, VLAN_LABEL, printable(vlan));
}

/** A tunnel; there is room for all of it that is not bytes. */
function writeTunnel(output: Output, tunnel: Tunnel): void {
  if (tunnel.id !== undefined) writeNumber(output, TUNNEL_ID, tunnel.id);
  if (tunnel.source !== undefined) writeText(output, TUNNEL_SRC, tunnel.source);
  if (tunnel.destination !== undefined) writeText(output, TUNNEL_DST, tunnel.destination);
  if (tunnel.tos !== undefined) writeNumber(output, TUNNEL_TOS, tunnel.tos);
  if (tunnel.ttl !== undefined) writeNumber(output, TUNNEL_TTL, tunnel.ttl);
  if (tunnel.sourcePort !== undefined) writeNumber(output, TUNNEL_SPORT, tunnel.sourcePort);
  if (tunnel.destinationPort !== undefined) writeNumber(output, TUNNEL_DPORT, tunnel.destinationPort);
  const flags: string[] = [];
  if (tunnel.dontFragment) flags.push("df");
  if (tunnel.checksum) flags.push("csum");
  if (tunnel.oam) flags.push("oam");
  if (tunnel.ipv4InfoBridge) flags.push("bridge");
  if (flags.length > 0) writeText(output, TUNNEL_FLAGS, flags.join(","));
  if (tunnel.geneveOptions) writeText(output, TUNNEL_GENEVE, tunnel.geneveOptions.map(geneveWord).join(",") || "-");
  if (tunnel.vxlanOptions) writeBytes(output, TUNNEL_VXLAN, tunnel.vxlanOptions);
  if (tunnel.erspanOptions) writeBytes(output, TUNNEL_ERSPAN, tunnel.erspanOptions);
  for (const { type, value } of tunnel.unknown) writeBytes(output, new Word(`tunnel-attr-${type} `), value);
}

/** Class, type and value of a Geneve option, in tc's notation. */
export function geneveWord({ optionClass, type, data }: GeneveOption): string {
  const head = `${optionClass.toString(16).padStart(4, "0")}:${hexByte(type)}`;
  return data.length === 0 ? head : `${head}:${toHex(data)}`;
}

function writeNumber(output: Output, key: Word, value: number | bigint): void {
  output.word(key);
  output.number(value);
  output.byte(BLANK);
}

function writeText(output: Output, key: Word, text: string): void {
  output.word(key);
  output.text(text);
  output.reserve(LONGEST);
  output.byte(BLANK);
}

/** Hexadecimal, or a dash for no bytes at all: every field needs a value to cut by. */
function writeBytes(output: Output, key: Word, bytes: Uint8Array): void {
  output.reserve(key.length + 2 * bytes.length + LONGEST);
  output.word(key);
  if (bytes.length === 0) output.byte(DASH);
  else output.hex(bytes);
  output.byte(BLANK);
}

/** A fraction for people: nine digits, more than the kernel's 32 bits can express. */
function short(value: number): number {
  return Number(value.toPrecision(9));
}
