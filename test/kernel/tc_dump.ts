/** What iproute2 reports about the devices of a scene, in its JSON. */
import type { Control, Sampling } from "../../mod.ts";
import { toHex } from "../../src/wire/text.ts";
import { run } from "./scene.ts";

/** An action as `tc -json` prints it. */
export interface TcAction {
  order: number;
  kind: string;
  rate?: number;
  group?: number;
  trunc_size?: number;
  control_action: { type: string; jump?: number; chain?: number };
  index: number;
  ref: number;
  bind: number;
  installed?: number;
  last_used?: number;
  first_used?: number;
  stats?: { bytes: number; packets: number };
  cookie?: string;
}

/** A filter as `tc -json` prints it. */
export interface TcFilter {
  block?: number;
  protocol: string;
  pref: number;
  kind: string;
  chain: number;
  options?: {
    handle?: number;
    fh?: string;
    keys?: Record<string, unknown>;
    not_in_hw?: boolean;
    in_hw?: boolean;
    skip_hw?: boolean;
    actions?: TcAction[];
  };
}

/** The JSON of several `tc` commands that show something, run in one process. */
export function tcShow(lines: readonly string[], ...options: string[]): unknown[] {
  const out = run("tc", [...options, "-json", "-batch", "-"], lines.map((line) => `${line}\n`).join(""));
  const all = out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  if (all.length !== lines.length) throw new Error(`${lines.length} commands, ${all.length} answers: ${out}`);
  return all;
}

/** The filters on both sides of devices, without the entries for whole preferences. */
export function tcFilters(
  devices: readonly string[],
  directions: readonly string[] = ["ingress", "egress"],
  ...options: string[]
): { device: string; direction: string; filter: TcFilter }[] {
  const places = devices.flatMap((device) => directions.map((direction) => ({ device, direction })));
  const answers = tcShow(places.map(({ device, direction }) => `filter show dev ${device} ${direction}`), ...options) as TcFilter[][];
  return answers.flatMap((filters, i) => filters.filter((filter) => filter.options).map((filter) => ({ ...places[i]!, filter })));
}

const COUNTERS = /"(rule_hit|rule_success|success|packets|bytes|installed|last_used|first_used)":\d+,?/g;

/** Everything that traffic control has on devices, as text: qdiscs, filters on both sides, chains; without counters, which may change. */
export function tcDump(...devices: string[]): string {
  const lines = devices.flatMap((device) => [
    `qdisc show dev ${device}`,
    ...["ingress", "egress"].flatMap((side) => [`filter show dev ${device} ${side}`, `chain show dev ${device} ${side}`]),
  ]);
  return run("tc", ["-d", "-json", "-batch", "-"], lines.map((line) => `${line}\n`).join("")).replace(COUNTERS, "");
}

/** The actions of the namespace in the same way; those of a removed filter disappear a little later. */
export function tcActions(): string {
  return run("tc", ["-d", "-json", "-batch", "-"], "actions list action sample\nactions list action gact\n").replace(COUNTERS, "");
}

const PROTOCOLS: Readonly<Record<string, number>> = { all: 3, ip: 0x800, arp: 0x806, ipv6: 0x86dd, "802.1Q": 0x8100 };

function handleOf({ handle, fh }: NonNullable<TcFilter["options"]>): number | undefined {
  if (fh === undefined) return handle;
  const [table = "", bucket = "", node = ""] = fh.split(":");
  return ((parseInt(table, 16) << 20) | ((parseInt(bucket, 16) || 0) << 12) | (parseInt(node, 16) || 0)) >>> 0;
}

/** What {@linkcode Sampling} and iproute2 both contain about a sample action, in iproute2's units. */
export interface Said {
  device: string | undefined;
  direction: string | undefined;
  preference: number | undefined;
  protocol: number | undefined;
  kind: string | undefined;
  chain: number | undefined;
  handle: number | undefined;
  where: string | undefined;
  order: number | undefined;
  rate: number | undefined;
  group: number | undefined;
  trunc: number | undefined;
  control: TcAction["control_action"];
  index: number;
  ref: number;
  bind: number;
  cookie: string | undefined;
  packets: number;
  bytes: number;
}

/** What iproute2 reports about the sample actions on devices. */
export function saidByTc(devices: readonly string[], directions?: readonly string[]): Said[] {
  return tcFilters(devices, directions, "-s").flatMap(({ device, direction, filter }) =>
    (filter.options!.actions ?? []).filter((action) => action.kind === "sample").map((action) => ({
      device,
      direction,
      preference: filter.pref,
      protocol: PROTOCOLS[filter.protocol],
      kind: filter.kind,
      chain: filter.chain,
      handle: handleOf(filter.options!),
      where: filter.options!.not_in_hw ? "software" : filter.options!.in_hw ? "hardware" : undefined,
      order: action.order,
      rate: action.rate,
      group: action.group,
      trunc: action.trunc_size,
      control: action.control_action,
      index: action.index,
      ref: action.ref,
      bind: action.bind,
      cookie: action.cookie,
      packets: action.stats!.packets,
      bytes: action.stats!.bytes,
    }))
  );
}

/** The same from our own list. */
export function saidByUs(samplings: readonly Sampling[]): Said[] {
  return samplings.map((sampling) => ({
    device: sampling.device,
    direction: sampling.direction,
    preference: sampling.preference,
    protocol: sampling.protocol,
    kind: sampling.kind,
    chain: sampling.chain,
    handle: sampling.handle,
    where: sampling.where,
    order: sampling.order,
    rate: sampling.rate,
    group: sampling.group,
    trunc: sampling.truncateBytes,
    control: tcControl(sampling.control),
    index: sampling.index,
    ref: sampling.referenceCount,
    bind: sampling.bindCount,
    cookie: sampling.cookie && toHex(sampling.cookie),
    packets: Number(sampling.packets),
    bytes: Number(sampling.bytes),
  }));
}

/** A control as `tc -json` prints it. */
export function tcControl(control: Control): TcAction["control_action"] {
  if (typeof control === "string") return { type: control };
  if ("jump" in control) return { type: "jump", jump: control.jump };
  if ("gotoChain" in control) return { type: "goto", chain: control.gotoChain };
  throw new Error(`tc has no word for ${control.value}`);
}
