/** `psample export --config FILE --check`: what a configuration file means, in plain words. */
import type { SamplingOptions } from "../../mod.ts";
import { DEFAULT_KEYS } from "../../src/estimate/mod.ts";
import { printable, printableText, shellWord } from "../../src/wire/text.ts";
import { isOpen, means } from "../devices.ts";
import { longName } from "../options.ts";
import { meaningOfOtlp } from "../otlp.ts";
import type { ExportSettings } from "./export_settings.ts";

/** Options that the other lines say everything about. */
const SAID: ReadonlySet<string> = new Set([
  "config",
  "check",
  "device",
  "rate",
  "direction",
  "match",
  "filter",
  "trunc",
  "sflow",
  "ipfix",
  "flows",
  "header",
  "agent",
  "counters",
  "polling",
  "drops",
  "dropLimit",
  "prometheus",
  "otlp",
  "interval",
  "otlpEncoding",
  "otlpHeader",
  "top",
  "by",
  "write",
]);

/** The plans with their rates, and how the rates were chosen that were not given. */
interface Rated {
  readonly plans: readonly SamplingOptions[];
  readonly chosen: string | undefined;
}

/** What the settings mean, one thing a line. */
export function meaningOf({ options, path, texts, named }: ExportSettings, { plans, chosen }: Rated): string {
  const { sflow = [], ipfix = [], prometheus, top, by = DEFAULT_KEYS, write, header, agent, flows } = options;
  const { counters = [], polling, drops, dropLimit } = options;
  const hasCounters = sflow.length > 0 && polling !== 0;
  const lines: string[] = [];
  for (const { device, rate, direction, truncateBytes } of plans) {
    const ways = direction === "both" || direction === undefined
      ? "incoming and outgoing"
      : direction === "ingress"
      ? "incoming"
      : "outgoing";
    lines.push(`sample 1 in ${rate} ${ways} packets of ${printable(`${device}`)}, up to ${truncateBytes} bytes of each`);
  }
  if (chosen !== undefined) lines.push(`rates by the speed of the link: ${chosen}`);
  const later = named.words.filter((word) => isOpen(word) && !plans.some(({ device }) => means(word, { name: `${device}`, up: true })));
  for (const word of later) {
    lines.push(word === "any" ? "sample every device that comes up" : `sample devices that come later and match ${printableText(word)}`);
  }
  if (named.words.length === 0) lines.push("sample nothing here: export what is sampled already");
  for (const match of texts.get("match") ?? []) lines.push(`sample only packets that match ${printableText(match)}`);
  for (const filter of texts.get("filter") ?? []) lines.push(`export only samples that match ${printableText(filter)}`);
  const known = agent === undefined ? "known by the most public address of this machine" : `known as ${agent}`;
  for (const target of sflow) lines.push(`send sFlow to ${printable(target)}: up to ${header} bytes of each packet, ${known}`);
  if (hasCounters) {
    const others = counters.map((word) => word === "all" ? ", of all devices" : `, of ${printable(word)}`).join("");
    lines.push(
      `send counters of sampled devices${others} and of the host to sFlow collectors, every ${texts.get("polling")?.[0] ?? "30s"}`,
    );
  }
  if (drops) lines.push(`send packets that the kernel discards to sFlow collectors, at most ${dropLimit} a second`);
  const records = flows ? "flow records" : `packet reports, up to ${header} bytes of each packet`;
  for (const target of ipfix) lines.push(`send IPFIX to ${printable(target)}: ${records}`);
  if (prometheus !== undefined) {
    const flows = top === undefined ? "without single flows" : `with the ${top} largest flows by ${printable(by)}`;
    lines.push(`serve metrics on ${prometheus}, ${flows}`);
  }
  lines.push(...meaningOfOtlp(options));
  if (write !== undefined) lines.push(`record samples in ${printableText(write)}`);
  for (const [key, values] of texts) {
    if (SAID.has(key)) continue;
    for (const value of values) lines.push(`${longName(key).slice(2)}${value === "" ? "" : ` ${shellWord(value)}`}`);
  }
  const off = Object.entries({
    sFlow: sflow.length > 0,
    IPFIX: ipfix.length > 0,
    metrics: prometheus !== undefined || options.otlp !== undefined,
    counters: hasCounters,
    "discarded packets": drops,
    recording: write !== undefined,
  });
  const missing = off.filter(([, isOn]) => !isOn).map(([name]) => name);
  if (missing.length > 0) lines.push(`off: ${missing.join(", ")}`);
  return `${printableText(path ?? "")} means:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}
