/**
 * Actions, as iproute2 6.1 prints them.
 *
 * Anything that this package does not decode is mentioned where iproute2 would print it, so that an incomplete list never looks complete.
 */
import type { Action, ActionMessage } from "../../../src/tc/action.ts";
import {
  TCA_ACT_FLAGS_NO_PERCPU_STATS,
  TCA_ACT_FLAGS_SKIP_HW,
  TCA_ACT_FLAGS_SKIP_SW,
  TCA_ACT_HW_STATS_DELAYED,
  TCA_ACT_HW_STATS_IMMEDIATE,
  TCA_ACT_MAX_PRIO,
} from "../../../src/tc/action.ts";
import type { GactAction } from "../../../src/tc/gact_action.ts";
import type { ActionAges, ActionParameters, SampleAction } from "../../../src/tc/sample_action.ts";
import type { Bitfield32 } from "../../../src/tc/tcmsg.ts";
import { toHex } from "../../../src/wire/text.ts";
import { writeControl } from "./control.ts";
import { writeStats } from "./stats.ts";
import type { TcOptions } from "../command.ts";
import { type DocumentWriter, documentWriter } from "./document.ts";

/** Actions as `tc actions list` and `tc actions get` print them. */
export function formatActions(messages: readonly ActionMessage[], options: TcOptions): string {
  const out = documentWriter(options);
  for (const message of messages) {
    out.open();
    out.field("total acts", message.count ?? 0, `total acts ${message.count ?? 0}`);
    out.line();
    out.close();
    if (message.actions.length === 0) continue;
    out.open();
    writeActions(out, message.actions, message.count || TCA_ACT_MAX_PRIO, options, false);
    out.close();
  }
  return out.finish();
}

/** Actions in their order, up to the order `most`; `bound` for those of a filter. */
export function writeActions(out: DocumentWriter, actions: readonly Action[], most: number, options: TcOptions, bound: boolean): void {
  out.openArray("actions");
  const inOrder = [...new Map(actions.map((action) => [action.order, action])).values()].sort((a, b) => a.order - b.order);
  for (const action of inOrder) {
    if (action.order > most) break;
    out.open();
    out.line();
    out.field("order", action.order, `\taction order ${action.order}: `);
    writeAction(out, action, options, bound);
    out.close();
  }
  out.closeArray();
}

function writeAction(out: DocumentWriter, action: Action, options: TcOptions, bound: boolean): void {
  const { kind, sample, gact, cookie, stats, flags, hardwareStats, usedHardwareStats, inHardwareCount } = action;
  out.field("kind", kind, `${kind} `);
  if (sample) writeSample(out, sample, options);
  else if (gact) writeGact(out, gact, options);
  else if (action.options) {
    out.field("bytes", toHex(action.options), "[options: see tc]");
    out.line();
  }
  if (options.stats && stats) {
    out.text("\tAction statistics:");
    out.line();
    out.open("stats");
    writeStats(out, stats, "\t");
    out.close();
    out.line();
  }
  if (cookie) {
    out.field("cookie", toHex(cookie), `\tcookie ${toHex(cookie)}`);
    out.line();
  }
  if (writeFlags(out, flags, inHardwareCount, bound)) out.line();
  if (hardwareStats) writeHardwareStats(out, "hw_stats", hardwareStats);
  if (usedHardwareStats) writeHardwareStats(out, "used_hw_stats", usedHardwareStats);
}

function writeFlags(out: DocumentWriter, flags: Bitfield32 | undefined, inHardwareCount: number | undefined, bound: boolean): boolean {
  let written = false;
  const flag = (bit: number, name: string): void => {
    if (!flags || !(flags.selector & bit)) return;
    out.field(name, (flags.value & bit) !== 0, `\t${name}`);
    written = true;
  };
  flag(TCA_ACT_FLAGS_NO_PERCPU_STATS, "no_percpu");
  if (bound) return written;
  flag(TCA_ACT_FLAGS_SKIP_HW, "skip_hw");
  flag(TCA_ACT_FLAGS_SKIP_SW, "skip_sw");
  const skipped = flags && flags.selector & flags.value & TCA_ACT_FLAGS_SKIP_HW;
  if (inHardwareCount === undefined || skipped) return written;
  if (inHardwareCount) {
    out.field("in_hw", true, "\tin_hw");
    out.field("in_hw_count", inHardwareCount, ` in_hw_count ${inHardwareCount}`);
  } else {
    out.field("not_in_hw", true, "\tnot_in_hw");
  }
  return true;
}

function writeHardwareStats(out: DocumentWriter, name: string, field: Bitfield32): void {
  const bits = field.value & field.selector;
  out.text(`\t${name}`);
  out.openArray(name);
  if (bits & TCA_ACT_HW_STATS_IMMEDIATE) out.field(undefined, "immediate", " immediate");
  if (bits & TCA_ACT_HW_STATS_DELAYED) out.field(undefined, "delayed", " delayed");
  if (bits === 0) out.field(undefined, "disabled", " disabled");
  out.closeArray();
  out.line();
}

function writeSample(out: DocumentWriter, sample: SampleAction, options: TcOptions): void {
  const { rate, group, truncateBytes } = sample;
  if (rate !== undefined) out.field("rate", rate, `rate 1/${rate} `);
  if (group !== undefined) out.field("group", group, `group ${group}`);
  if (truncateBytes !== undefined) out.field("trunc_size", truncateBytes, ` trunc_size ${truncateBytes}`);
  out.text(" ");
  writeControl(out, sample.control);
  out.line();
  writeParameters(out, sample, options);
}

const RANDOM_TYPES = ["none", "netrand", "determ"] as const;

function writeGact(out: DocumentWriter, gact: GactAction, options: TcOptions): void {
  const probability = gact.probability ?? { type: 0, value: 0, control: "pass" as const };
  const random = RANDOM_TYPES[probability.type] ?? `${probability.type}`;
  out.text("action ");
  writeControl(out, gact.control);
  out.open("prob");
  out.line();
  out.field("random_type", random, `\t random type ${random}`);
  out.text(" ");
  writeControl(out, probability.control);
  out.text(" ");
  out.field("val", probability.value, `val ${probability.value}`);
  out.close();
  out.line();
  writeParameters(out, gact, options);
}

function writeParameters(
  out: DocumentWriter,
  action: ActionParameters & { readonly ages: ActionAges | undefined },
  options: TcOptions,
): void {
  const { index, referenceCount, bindCount, ages } = action;
  out.field("index", index, `\t index ${index}`);
  out.field("ref", referenceCount, ` ref ${referenceCount}`);
  out.field("bind", bindCount, ` bind ${bindCount}`);
  if (options.stats && ages) {
    const age = (name: string, ms: bigint, text: string): void => {
      if (ms !== 0n) out.field(name, ms / 1000n, ` ${text} ${ms / 1000n} sec`);
    };
    age("installed", ages.installedMs, "installed");
    age("last_used", ages.lastUsedMs, "used");
    age("first_used", ages.firstUsedMs, "firstused");
    age("expires", ages.expiresMs, "expires");
  }
  out.line();
}
