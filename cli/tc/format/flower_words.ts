/** flower's keys in iproute2's words, for both uses: lists, and command lines to type. */
import { type MaskedAddress, prefixLength } from "../../../src/tc/address.ts";
import type { FlowerKeys, MaskedNumber, PortRange } from "../../../src/tc/flower.ts";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETH_P_RARP, etherTypeText } from "../../../src/wire/ether_types.ts";
import { ipProtocolName } from "../../../src/wire/ip_protocols.ts";
import { ipv4Text, ipv6Text, toHex } from "../../../src/wire/text.ts";
import { hex, protocolText } from "./values.ts";

/** The values that iproute2 prints in another form than it reads. */
export interface FlowerForm {
  /** An EtherType after a VLAN tag. */
  etherType(type: number): string;
  /** An IP protocol. */
  ipProtocol(protocol: number): string;
  /** An address and its mask. */
  address(masked: MaskedAddress): string;
  /** The word for a field of ICMP. */
  icmp(field: "type" | "code"): string;
}

/** As `tc filter show` prints them. */
export const PRINTED: FlowerForm = {
  etherType: protocolText,
  ipProtocol: (protocol) => ipProtocolName(protocol) ?? hex(protocol).padStart(2, "0"),
  address: ({ address, mask }) => {
    const bits = prefixLength(mask);
    if (bits === undefined) return `${addressText(address)}/${addressText(mask)}`;
    return bits === 8 * mask.length ? addressText(address) : `${addressText(address)}/${bits}`;
  },
  icmp: (field) => `icmp_${field}`,
};

/** As `tc filter add` reads them. */
export const TYPED: FlowerForm = {
  etherType: etherTypeText,
  // It reads a number as hexadecimal, with or without the 0x.
  ipProtocol: (protocol) => ipProtocolName(protocol) ?? `0x${hex(protocol)}`,
  address: ({ address, mask }) => `${addressText(address)}/${prefixLength(mask) ?? 0}`,
  icmp: (field) => field,
};

/** One key. */
export interface FlowerWord {
  /** Its word, and in JSON its name. */
  readonly name: string;
  /** Its value in text. */
  readonly text: string;
  /** Its value in JSON; or the fields of an object. */
  readonly value: string | number | readonly (readonly [name: string, value: number | boolean])[];
  /** Its mask, if that is not part of the value. */
  readonly mask?: string;
}

/** The keys in words, in the order in which iproute2 prints them; it can also read them in this order. */
export function flowerWords(keys: Readonly<FlowerKeys>, form: FlowerForm): FlowerWord[] {
  const words: FlowerWord[] = [];
  const plain = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) words.push({ name, text: `${value}`, value });
  };
  const type = (name: string, value: number | undefined): void => plain(name, value === undefined ? undefined : form.etherType(value));
  const address = (name: string, masked: MaskedAddress | undefined): void => plain(name, masked && form.address(masked));
  const masked = (name: string, field: MaskedNumber | undefined, full: number): void => {
    if (!field) return;
    const { value, mask } = field;
    if (mask === undefined || mask === full) plain(name, value);
    else words.push({ name, text: `${value}/0x${hex(mask)}`, value, mask: hex(mask) });
  };
  const range = (name: string, ports: PortRange | undefined): void => {
    if (ports) words.push({ name, text: `${ports.from}-${ports.to}`, value: [["start", ports.from], ["end", ports.to]] });
  };

  plain("num_of_vlans", keys.vlanCount);
  plain("vlan_id", keys.vlanId);
  plain("vlan_prio", keys.vlanPriority);
  type("vlan_ethtype", keys.vlanEtherType);
  plain("cvlan_id", keys.cvlanId);
  plain("cvlan_prio", keys.cvlanPriority);
  type("cvlan_ethtype", keys.cvlanEtherType);
  address("dst_mac", keys.destinationMac);
  address("src_mac", keys.sourceMac);
  if (keys.etherType !== undefined) plain("eth_type", ETH_TYPE_NAMES.get(keys.etherType) ?? hex(keys.etherType).padStart(4, "0"));
  if (keys.ipProtocol !== undefined) plain("ip_proto", form.ipProtocol(keys.ipProtocol));
  masked("ip_tos", keys.tos, 0xff);
  masked("ip_ttl", keys.ttl, 0xff);
  address("dst_ip", keys.destination);
  address("src_ip", keys.source);
  masked("dst_port", keys.destinationPort, 0xffff);
  masked("src_port", keys.sourcePort, 0xffff);
  range("dst_port", keys.destinationPorts);
  range("src_port", keys.sourcePorts);
  plain("tcp_flags", keys.tcpFlags && flagsText(keys.tcpFlags));
  plain(form.icmp("type"), keys.icmpType && decimalText(keys.icmpType));
  plain(form.icmp("code"), keys.icmpCode && decimalText(keys.icmpCode));
  address("arp_sip", keys.arpSource);
  address("arp_tip", keys.arpTarget);
  plain("arp_op", keys.arpOperation && decimalText(keys.arpOperation, ARP_OPERATIONS));
  address("arp_sha", keys.arpSourceMac);
  address("arp_tha", keys.arpTargetMac);
  words.push(...fragmentWords(keys.ipFlags));
  return words;
}

const ETH_TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [ETH_P_IP, "ipv4"],
  [ETH_P_IPV6, "ipv6"],
  [ETH_P_ARP, "arp"],
  [ETH_P_RARP, "rarp"],
]);

const ARP_OPERATIONS: ReadonlyMap<number, string> = new Map([[1, "request"], [2, "reply"]]);

const FRAGMENTS = [[1, "frag"], [2, "firstfrag"]] as const;

function fragmentWords(flags: MaskedNumber | undefined): FlowerWord[] {
  const meant = flags ? FRAGMENTS.filter(([bit]) => (flags.mask ?? 0xffffffff) & bit) : [];
  if (!flags || meant.length === 0) return [];
  const value = meant.map(([bit, name]) => [name, (flags.value & bit) !== 0] as const);
  return [{ name: "ip_flags", text: value.map(([name, set]) => set ? name : `no${name}`).join("/"), value }];
}

function flagsText({ value, mask }: MaskedNumber): string {
  return `0x${hex(value)}${mask === undefined ? "" : `/${hex(mask)}`}`;
}

/** Fields of ICMP and ARP have their own form: value and mask in one piece of text, in decimal. */
function decimalText({ value, mask }: MaskedNumber, names?: ReadonlyMap<number, string>): string {
  if (mask !== undefined && mask !== 0xff) return `${value}/${mask}`;
  return names?.get(value) ?? `${value}`;
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return ipv4Text(bytes);
  return bytes.length === 16 ? ipv6Text(bytes) : toHex(bytes).replace(/..(?=.)/g, "$&:");
}
