/** flower, as iproute2 6.1 prints it. */
import { type MaskedAddress, prefixLength } from "../../../src/tc/address.ts";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_RARP } from "../../../src/wire/ether_types.ts";
import type { Flower, MaskedNumber, PortRange } from "../../../src/tc/flower.ts";
import { ipv4Text, ipv6Text, toHex } from "../../../src/wire/text.ts";
import { flagWords, writeFilterActions, writeHandle } from "./classifier.ts";
import { classText, hex, protocolText } from "./values.ts";
import { ipProtocolName } from "../../../src/wire/ip_protocols.ts";
import type { TcOptions } from "../command.ts";
import type { DocumentWriter } from "./document.ts";

/** TC_H_MIN_PRIORITY and the 16 hardware queues behind it: a class that stands for a traffic class of the device. */
const FIRST_HARDWARE_TC = 0xffe0;

const ETH_TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [ETH_P_IP, "ipv4"],
  [ETH_P_IPV6, "ipv6"],
  [ETH_P_ARP, "arp"],
  [ETH_P_RARP, "rarp"],
]);

/** What follows `flower`. */
export function writeFlower(out: DocumentWriter, flower: Flower, handle: number, options: TcOptions): void {
  const { keys, flags = 0, classId, inHardwareCount, actions } = flower;
  const line = (name: string, value: string | number, text = `${value}`): void => {
    out.line();
    out.field(name, value, `  ${name} ${text}`);
  };
  const number = (name: string, value: number | undefined): void => {
    if (value !== undefined) line(name, value);
  };
  const type = (name: string, value: number | undefined): void => {
    if (value !== undefined) line(name, protocolText(value));
  };
  const maskedNumber = (name: string, field: MaskedNumber | undefined, full: number): void => {
    if (!field) return;
    number(name, field.value);
    if (field.mask === undefined || field.mask === full) return;
    out.field(`${name}_mask`, hex(field.mask), `/0x${hex(field.mask)}`);
  };
  // ICMP and ARP fields have another form than the rest: value and mask in one piece of text, in decimal.
  const maskedText = (name: string, field: MaskedNumber | undefined, names?: ReadonlyMap<number, string>): void => {
    if (!field) return;
    const full = field.mask === undefined || field.mask === 0xff;
    const value = (full ? names?.get(field.value) : undefined) ?? `${field.value}`;
    line(name, full ? value : `${value}/${field.mask}`);
  };
  const address = (name: string, field: MaskedAddress | undefined): void => {
    if (field) line(name, maskedAddressText(field));
  };
  const range = (name: string, field: PortRange | undefined): void => {
    if (!field) return;
    out.line();
    out.text(`  ${name} ${field.from}-${field.to}`);
    out.open(name);
    out.json("start", field.from);
    out.json("end", field.to);
    out.close();
  };

  writeHandle(out, handle);
  if (classId !== undefined) {
    const queue = (classId & 0xffff) - FIRST_HARDWARE_TC;
    if (queue >= 0 && queue < 16) out.field("hw_tc", queue, `hw_tc ${queue} `);
    else out.field("classid", classText(classId), `classid ${classText(classId)} `);
  }
  if (keys.inputDevice !== undefined) line("indev", keys.inputDevice);

  out.open("keys");
  number("num_of_vlans", keys.vlanCount);
  number("vlan_id", keys.vlanId);
  number("vlan_prio", keys.vlanPriority);
  type("vlan_ethtype", keys.vlanEtherType);
  number("cvlan_id", keys.cvlanId);
  number("cvlan_prio", keys.cvlanPriority);
  type("cvlan_ethtype", keys.cvlanEtherType);
  address("dst_mac", keys.destinationMac);
  address("src_mac", keys.sourceMac);
  if (keys.etherType !== undefined) line("eth_type", ETH_TYPE_NAMES.get(keys.etherType) ?? hex(keys.etherType).padStart(4, "0"));
  if (keys.ipProtocol !== undefined) line("ip_proto", ipProtocolName(keys.ipProtocol) ?? hex(keys.ipProtocol).padStart(2, "0"));
  maskedNumber("ip_tos", keys.tos, 0xff);
  maskedNumber("ip_ttl", keys.ttl, 0xff);
  address("dst_ip", keys.destination);
  address("src_ip", keys.source);
  maskedNumber("dst_port", keys.destinationPort, 0xffff);
  maskedNumber("src_port", keys.sourcePort, 0xffff);
  range("dst_port", keys.destinationPorts);
  range("src_port", keys.sourcePorts);
  if (keys.tcpFlags) {
    const mask = keys.tcpFlags.mask === undefined ? "" : `/${hex(keys.tcpFlags.mask)}`;
    line("tcp_flags", `0x${hex(keys.tcpFlags.value)}${mask}`);
  }
  maskedText("icmp_type", keys.icmpType);
  maskedText("icmp_code", keys.icmpCode);
  address("arp_sip", keys.arpSource);
  address("arp_tip", keys.arpTarget);
  maskedText("arp_op", keys.arpOperation, ARP_OPERATIONS);
  address("arp_sha", keys.arpSourceMac);
  address("arp_tha", keys.arpTargetMac);
  writeFragments(out, keys.ipFlags);
  for (const { type, value } of flower.unknown) line(`key_${type}`, toHex(value), `${toHex(value)} [see tc]`);
  out.close();

  for (const word of flagWords(flags)) {
    out.line();
    out.field(word, true, `  ${word}`);
    if (word === "in_hw" && inHardwareCount !== undefined) out.field("in_hw_count", inHardwareCount, ` in_hw_count ${inHardwareCount}`);
  }
  writeFilterActions(out, actions, options);
}

const ARP_OPERATIONS: ReadonlyMap<number, string> = new Map([[1, "request"], [2, "reply"]]);

const FRAGMENTS = [[1, "frag"], [2, "firstfrag"]] as const;

function writeFragments(out: DocumentWriter, flags: MaskedNumber | undefined): void {
  if (!flags) return;
  const meant = FRAGMENTS.filter(([bit]) => (flags.mask ?? 0xffffffff) & bit);
  if (meant.length === 0) return;
  out.line();
  out.text(`  ip_flags ${meant.map(([bit, name]) => flags.value & bit ? name : `no${name}`).join("/")}`);
  out.open("ip_flags");
  for (const [bit, name] of meant) out.json(name, (flags.value & bit) !== 0);
  out.close();
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return ipv4Text(bytes);
  return bytes.length === 16 ? ipv6Text(bytes) : toHex(bytes).replace(/..(?=.)/g, "$&:");
}

function maskedAddressText({ address, mask }: MaskedAddress): string {
  const bits = prefixLength(mask);
  if (bits === undefined) return `${addressText(address)}/${addressText(mask)}`;
  return bits === 8 * mask.length ? addressText(address) : `${addressText(address)}/${bits}`;
}
