/** What `psample capture` does, in the words of tc(8), for people who want to know or to do it by hand. */
import type { Control, SamplingOptions } from "../../mod.ts";
import { type MaskedAddress, prefixLength } from "../../src/tc/address.ts";
import { etherTypeName } from "../../src/wire/ether_types.ts";
import type { PortRange } from "../../src/tc/flower.ts";
import { compileMatch, type Match } from "../../src/filter/match.ts";
import { ipv4Text, ipv6Text, toHex } from "../../src/wire/text.ts";
import { ipProtocolName } from "../../src/wire/ip_protocols.ts";

/** The first of the groups that are chosen where none is given. */
const GROUP = 65536;

/** The lines that set up what the options say, beginning with the qdisc. */
export function tcLines(options: SamplingOptions): string[] {
  const { device, direction = "both" } = options;
  const directions = direction === "both" ? ["ingress", "egress"] : [direction];
  const match = options.match === undefined ? undefined : compileMatch(options.match);
  const filter = `${protocolWords(match)}${match?.keys ? `flower${flowerWords(match)}` : "matchall"}${hardwareWord(options)}`;
  return [
    `tc qdisc add dev ${device} clsact`,
    ...directions.map((side) => `tc filter add dev ${device} ${side} ${filter} action sample ${actionWords(options)}`),
  ];
}

function protocolWords(match: Match | undefined): string {
  return match?.keys ? `protocol ${etherType(match.protocol)} ` : "";
}

function etherType(number: number): string {
  return etherTypeName(number) ?? `0x${number.toString(16)}`;
}

function hardwareWord({ hardware }: SamplingOptions): string {
  return hardware === undefined ? "" : hardware === "only" ? " skip_sw" : " skip_hw";
}

function flowerWords({ keys = {} }: Match): string {
  let words = "";
  const word = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) words += ` ${name} ${value}`;
  };
  const ports = (one: { value: number } | undefined, range: PortRange | undefined): string | undefined =>
    one ? `${one.value}` : range && `${range.from}-${range.to}`;
  word("vlan_id", keys.vlanId);
  word("vlan_ethtype", keys.vlanEtherType === undefined ? undefined : etherType(keys.vlanEtherType));
  word("ip_proto", keys.ipProtocol === undefined ? undefined : ipProtocol(keys.ipProtocol));
  word("src_ip", address(keys.source));
  word("dst_ip", address(keys.destination));
  word("src_port", ports(keys.sourcePort, keys.sourcePorts));
  word("dst_port", ports(keys.destinationPort, keys.destinationPorts));
  return words;
}

/** tc takes a number for hexadecimal here. */
function ipProtocol(number: number): string {
  return ipProtocolName(number) ?? `0x${number.toString(16)}`;
}

function address(masked: MaskedAddress | undefined): string | undefined {
  if (!masked) return undefined;
  const text = masked.address.length === 4 ? ipv4Text(masked.address) : ipv6Text(masked.address);
  return `${text}/${prefixLength(masked.mask) ?? 0}`;
}

function actionWords({ rate, group, truncateBytes, index, cookie, control = "continue" }: SamplingOptions): string {
  const words: string[] = [];
  if (rate !== undefined) words.push(`rate ${rate}`, `group ${group ?? GROUP}`);
  if (truncateBytes !== undefined) words.push(`trunc ${truncateBytes}`);
  words.push(controlText(control));
  if (index !== undefined) words.push(`index ${index}`);
  if (cookie) words.push(`cookie ${toHex(cookie)}`);
  return words.join(" ");
}

/** A control as tc writes it. */
export function controlText(control: Control): string {
  if (typeof control === "string") return control;
  if ("jump" in control) return `jump ${control.jump}`;
  return "gotoChain" in control ? `goto chain ${control.gotoChain}` : `${control.value}`;
}
