/**
 * Whether packets reach a sample action now, and if not, what hides them from it. Pure: it judges what the kernel has listed. The order in
 * which things see a packet: XDP (arriving packets only), tcx programs, then the filters of the chain 0 by preference, until one of them
 * ends the classification.
 *
 * Sources: `__netif_receive_skb_core`, `sch_handle_ingress` and `sch_handle_egress` in net/core/dev.c, `__tcf_classify` in
 * net/sched/cls_api.c.
 */
import type { Link } from "../link/link.ts";
import type { Action } from "../tc/action.ts";
import { readBpf } from "../tc/bpf.ts";
import { controlText } from "../tc/control.ts";
import { courseOf, type Fate, fateOf, runsInSoftware } from "../tc/fate.ts";
import { actionsOf, classifierFlags, type Filter } from "../tc/filter.ts";
import { overlap } from "../tc/overlap.ts";
import type { Qdisc } from "../tc/qdisc.ts";
import { TCA_CLS_FLAGS_IN_HW, TCA_CLS_FLAGS_SKIP_SW } from "../tc/tcmsg.ts";
import { printable, shellWord } from "../wire/text.ts";
import type { Finding, FindingTopic } from "./finding.ts";
import { type Direction, directionOf } from "./traffic_control.ts";

/** A sample action of a filter: which one it is, and what it was when it was last seen. `Sampling` has all of this. */
export interface Hook {
  /** The device's name when it was last seen. */
  readonly device: string | undefined;
  /** Index of the device. */
  readonly ifindex: number;
  /** Where the filter is attached. */
  readonly parent: number;
  /** The filter's chain. */
  readonly chain: number;
  /** The filter's preference. */
  readonly preference: number;
  /** The filter's own number. */
  readonly handle: number;
  /** The kind of classifier. */
  readonly kind: string;
  /** Position of the action in the filter, from 1. */
  readonly order: number;
  /** Sample 1 in `rate` packets. */
  readonly rate: number | undefined;
  /** The psample group. */
  readonly group: number | undefined;
  /** Where packets are cut. */
  readonly truncateBytes: number | undefined;
}

/** What the kernel lists about the place of a hook. */
export interface Place {
  /** The device; `undefined` if this network namespace no longer has it. */
  readonly link: Link | undefined;
  /** The qdisc that carries the filters; `undefined` if there is none. Used only if the hook is gone. */
  readonly qdisc: Qdisc | undefined;
  /** All filters at the hook's parent, in the kernel's order. */
  readonly filters: readonly Filter[];
  /** The numbers of the tcx programs there; `undefined` if the kernel does not report them. */
  readonly tcx: readonly number[] | undefined;
}

/**
 * The answer.
 *
 * @category Diagnosis
 */
export interface Reach {
  /**
   * - `reached`: nothing is in the way
   * - `possibly-hidden`: it depends on a program, or some packets are hidden
   * - `hidden`: no packet reaches the action
   * - `gone`: the action no longer exists
   */
  readonly state: "reached" | "possibly-hidden" | "hidden" | "gone";
  /** What is in the way, and what has changed; none of these findings is good. */
  readonly findings: readonly Finding[];
  /** Whether there may be tcx programs that this process may not see: that requires CAP_NET_ADMIN. */
  readonly tcxUnknown: boolean;
}

/** Judges whether packets reach a hook. */
export function reach(hook: Hook, place: Place): Reach {
  const judge = new Judge(hook, place);
  judge.run();
  return { state: judge.state, findings: judge.findings, tcxUnknown: place.tcx === undefined && directionOf(hook.parent) !== undefined };
}

class Judge {
  readonly findings: Finding[] = [];
  state: Reach["state"] = "reached";
  readonly #hook: Hook;
  readonly #place: Place;
  /** The device's name for people. */
  readonly #device: string;
  /** The device's name for a command line. */
  readonly #word: string;
  readonly #direction: Direction | undefined;
  /** What sentences begin with: the place in the words of tc. */
  readonly #label: string;

  constructor(hook: Hook, place: Place) {
    this.#hook = hook;
    this.#place = place;
    this.#direction = directionOf(hook.parent);
    const name = place.link?.name ?? hook.device ?? `if${hook.ifindex}`;
    this.#device = printable(name);
    this.#word = shellWord(name);
    this.#label = `${this.#device} ${this.#direction ?? `parent ${hook.parent.toString(16)}`}`;
  }

  run(): void {
    const { link, filters } = this.#place;
    if (!link) {
      return this.#gone(
        "device-gone",
        `${this.#device} is no longer sampled: the device was removed, or moved to another network namespace`,
      );
    }
    const { handle, preference, chain, kind } = this.#hook;
    const filter = filters.find((other) =>
      other.handle === handle && other.preference === preference && (other.chain ?? 0) === chain && other.kind === kind && other.classifier
    );
    if (!filter) return this.#gone("removed", this.#whyRemoved(), "start sampling again");
    const actions = actionsOf(filter);
    const action = actions.find(({ order, sample }) => sample && order === this.#hook.order);
    if (!action) {
      return this.#gone(
        "removed",
        `${this.#label} is no longer sampled: another program replaced the actions of ${nameOf(filter)}`,
        "start sampling again",
      );
    }
    this.#changes(action);
    this.#ofDevice(link);
    this.#programs(link, filter);
    this.#filtersInFront(filter);
    this.#ownActions(filter, actions, action);
  }

  /** Another program has changed what is sampled. */
  #changes({ sample }: Action): void {
    const { rate, group, truncateBytes } = this.#hook;
    const now = sample!;
    const change = (what: string, verdict: "note" | "bad"): void => {
      this.#found(verdict, "changed", `${this.#label}: ${what}`, "another program changed it: stop that, or start sampling again");
    };
    const bytes = (count: number | undefined): string => count === undefined ? "not cut" : `cut to ${count} bytes`;
    if (group !== undefined && group !== now.group) change(`samples now go to group ${now.group} instead of ${group}`, "bad");
    if (rate !== undefined && rate !== now.rate) change(`the rate is now 1 in ${now.rate} instead of 1 in ${rate}`, "note");
    if (truncateBytes !== now.truncateBytes) {
      change(`packets are now ${bytes(now.truncateBytes)} instead of ${bytes(truncateBytes)}`, "note");
    }
  }

  #ofDevice(link: Link): void {
    if (!link.up) this.#hidden("device-down", `${this.#device} is down, no packets pass`, `ip link set dev ${this.#word} up`);
    else if (!link.running) this.#maybe("no-carrier", `${this.#device} has no carrier`, "connect its cable, or set its peer up");
  }

  /** Programs that see packets before the filters. */
  #programs({ xdp }: Link, filter: Filter): void {
    // Hardware that samples on its own does not run the kernel's programs.
    const { onlyHardware } = placesOf(filter);
    if (xdp && this.#direction === "ingress" && (!onlyHardware || xdp.mode === "hardware" || xdp.mode === "several")) {
      const programs = xdp.programs.length === 1 ? `program ${xdp.programs[0]}` : `programs ${xdp.programs.join(", ")}`;
      const what = `${this.#label}: the XDP ${programs} (${xdp.mode}) comes first; packets that it drops or redirects are not sampled`;
      this.#maybe("xdp", what, `bpftool prog show id ${xdp.programs[0]}; ip link set dev ${this.#word} xdp off removes it`);
    }
    const tcx = this.#place.tcx ?? [];
    if (tcx.length > 0 && !onlyHardware) {
      const [programs, come, do_] = tcx.length === 1
        ? [`program ${tcx[0]}`, "comes", "it does"]
        : [`programs ${tcx.join(", ")}`, "come", "they do"];
      const what = `${this.#label}: the tcx ${programs} ${come} first; packets for which ${do_} not return TCX_NEXT are not sampled`;
      this.#maybe("tcx", what, `bpftool net show dev ${this.#word}`);
    }
  }

  #filtersInFront(filter: Filter): void {
    const way = wayTo(filter, this.#place.filters);
    for (const other of way.partly) {
      const fate = fateOf(other);
      const whose = fate.unknown ? "packets that it does not pass on" : "the packets that it matches";
      const same = other.preference === filter.preference && (other.chain ?? 0) === (filter.chain ?? 0);
      const what = `${this.#label}: ${describe(other, fate)} ${same ? "has the same preference" : "comes first"}; ${whose} are not sampled`;
      this.#maybe("hidden", what, this.#cureFor(other));
    }
    if (way.reached) return;
    const chain = filter.chain ?? 0;
    const { blocker, leads } = way;
    if (blocker && (blocker.chain ?? 0) === chain) {
      const what = `${this.#label}: ${describe(blocker)} comes first and hides every packet from ${nameOf(filter)}`;
      this.#hidden("hidden", what, this.#cureFor(blocker));
    } else if (blocker && leads) {
      const what = `${this.#label}: ${describe(blocker)} comes first and hides every packet from ${
        nameOf(leads)
      }, which goes to chain ${chain}`;
      this.#hidden("hidden", what, this.#cureFor(blocker));
    } else {
      const what = `${this.#label}: no packet is sent to chain ${chain}, where ${nameOf(filter)} is`;
      const cure = `tc filter add dev ${this.#word} ${this.#direction ?? ""} matchall action goto chain ${chain}`;
      this.#hidden("unreachable-chain", what, cure);
    }
  }

  /** Whether a packet that the filter matches gets to the sample action. */
  #ownActions(filter: Filter, actions: readonly Action[], action: Action): void {
    const { nowhere } = placesOf(filter);
    if (nowhere || (!runsInSoftware(action) && !action.inHardwareCount)) {
      const what = `${this.#label}: ${nameOf(filter)} is for hardware only (skip_sw), and no hardware has it`;
      return this.#hidden("hardware", what, "allow software: leave out skip_sw");
    }
    const course = courseOf(actions);
    const place = actions.indexOf(action);
    if (course.always.has(place)) return;
    const cure = "put the sample action first";
    if (course.sometimes.has(place)) {
      this.#maybe("hidden", `${this.#label}: an action of ${nameOf(filter)} in front of sample may end it`, cure);
    } else {
      this.#hidden("hidden", `${this.#label}: an action of ${nameOf(filter)} in front of sample ends it for every packet`, cure);
    }
  }

  #whyRemoved(): string {
    const { qdisc } = this.#place;
    const removed = (what: string, why: string): string => `${what} is no longer sampled: another program removed ${why}`;
    if (this.#direction === undefined) return removed(this.#label, "the filter");
    // With the qdisc both directions are gone.
    if (!qdisc) return removed(this.#device, "the clsact qdisc");
    if (qdisc.kind !== "clsact" && this.#direction === "egress") {
      return removed(this.#device, `the clsact qdisc, and put ${printable(qdisc.kind)} in its place`);
    }
    return removed(this.#label, `the ${this.#direction} filter, or its qdisc`);
  }

  #cureFor(other: Filter): string {
    const chain = other.chain ? ` chain ${other.chain}` : "";
    const remove = this.#direction ? ` (tc filter del dev ${this.#word} ${this.#direction}${chain} pref ${other.preference})` : "";
    const program = other.kind === "bpf" && readsProgram(other);
    return `${
      program ? "let its program return -1" : "let its last action be continue"
    }, remove it${remove}, or sample with a lower preference`;
  }

  #gone(about: FindingTopic, what: string, cure?: string): void {
    this.#found("bad", about, what, cure);
    this.state = "gone";
  }

  #hidden(about: FindingTopic, what: string, cure: string): void {
    this.#found("bad", about, what, cure);
    this.state = "hidden";
  }

  #maybe(about: FindingTopic, what: string, cure: string): void {
    this.#found("note", about, what, cure);
    if (this.state === "reached") this.state = "possibly-hidden";
  }

  #found(verdict: "note" | "bad", about: FindingTopic, what: string, cure: string | undefined): void {
    const { group } = this.#hook;
    this.findings.push({
      verdict,
      about,
      device: this.#place.link?.name ?? this.#hook.device,
      direction: this.#direction,
      group,
      what,
      cure,
    });
  }
}

/** How packets reach a filter. */
interface Way {
  /** Whether any does. */
  readonly reached: boolean;
  /** Earlier filters that hide some of the packets, or may hide them. */
  readonly partly: readonly Filter[];
  /** An earlier filter that hides all packets, if none reach it. */
  readonly blocker: Filter | undefined;
  /** A filter that would lead to the chain, and is itself behind the blocker; if no packets reach it. */
  readonly leads: Filter | undefined;
}

/** Follows packets from chain 0 through `filters`, all at one parent, to one of them. */
function wayTo(mine: Filter, filters: readonly Filter[]): Way {
  const chains = Map.groupBy(filters, (filter) => filter.chain ?? 0);
  // Sorting is stable: within a preference the kernel lists filters in the order in which it runs them, except for flower.
  for (const chain of chains.values()) chain.sort((a, b) => a.preference - b.preference);
  const best = new Map<number, number>();
  const waiting: { chain: number; partly: readonly Filter[] }[] = [{ chain: 0, partly: [] }];
  const ownPlaces = placesOf(mine);
  let partly: readonly Filter[] | undefined;
  let blocker: Filter | undefined;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    if ((best.get(next.chain) ?? Infinity) <= next.partly.length) continue;
    best.set(next.chain, next.partly.length);
    const before = [...next.partly];
    for (const other of chains.get(next.chain) ?? []) {
      if (other === mine) {
        if (!partly || before.length < partly.length) partly = before;
        break;
      }
      const common = overlap(other, mine);
      const { nowhere, onlyHardware, inHardware } = placesOf(other);
      if (common === "none" || nowhere) continue;
      const fate = fateOf(other);
      for (const chain of fate.chains) waiting.push({ chain, partly: [...before] });
      if (!fate.accepted && !fate.taken && !fate.unknown && fate.chains.size === 0) continue;
      // A filter that runs elsewhere than mine hides at most the packets that pass there.
      const sameWorld = ownPlaces.inHardware === inHardware && ownPlaces.onlyHardware === onlyHardware;
      if (common === "all" && !fate.next && !fate.unknown && sameWorld && !ambiguous(other, filters)) {
        if (!blocker || (other.chain ?? 0) === (mine.chain ?? 0)) blocker = other;
        break;
      }
      before.push(other);
    }
  }
  if (partly) return { reached: true, partly: [...new Set([...partly, ...flowerRivals(mine, filters)])], blocker, leads: undefined };
  const leads = filters.find((other) => fateOf(other).chains.has(mine.chain ?? 0));
  return { reached: false, partly: [], blocker, leads };
}

/**
 * The flower filters with the preference of `mine`, itself a flower: the first of them that matches a packet keeps it from the
 * others, whatever its actions say, and the kernel does not show which runs first (`fl_classify`).
 */
function flowerRivals(mine: Filter, filters: readonly Filter[]): Filter[] {
  if (mine.kind !== "flower") return [];
  return filters.filter((other) =>
    other !== mine && other.preference === mine.preference && (other.chain ?? 0) === (mine.chain ?? 0) && overlap(other, mine) !== "none" &&
    !placesOf(other).nowhere
  );
}

/**
 * Whether a filter may belong to the other side of its device: at a preference that has u32 filters on both, the kernel
 * lists all of them for each (`tc_u_common` is that of the qdisc). The tables show it: each side has its own root.
 */
function ambiguous(filter: Filter, filters: readonly Filter[]): boolean {
  if (filter.kind !== "u32") return false;
  const roots = filters.filter(({ classifier, preference, handle }) =>
    classifier?.kind === "u32" && classifier.divisor !== undefined && preference === filter.preference && handle >>> 20 >= 0x800
  );
  return roots.length > 1;
}

/** Where a filter runs. */
function placesOf(filter: Filter): { inHardware: boolean; onlyHardware: boolean; nowhere: boolean } {
  const flags = classifierFlags(filter);
  const inHardware = (flags & TCA_CLS_FLAGS_IN_HW) !== 0;
  const skipsSoftware = (flags & TCA_CLS_FLAGS_SKIP_SW) !== 0;
  return { inHardware, onlyHardware: inHardware && skipsSoftware, nowhere: skipsSoftware && !inHardware };
}

function nameOf({ preference, chain, kind }: Filter, more = ""): string {
  return `the filter pref ${preference}${chain ? ` chain ${chain}` : ""} (${printable(kind)}${more})`;
}

/** A filter, and what it does with the packets that it keeps. */
function describe(filter: Filter, fate: Fate = fateOf(filter)): string {
  const words = fate.unknown ? "its program decides" : [...new Set(fate.controls.map(controlText))].join(", ");
  return nameOf(filter, `: ${words}`);
}

function readsProgram({ classifier }: Filter): boolean {
  return classifier?.kind === "other" && readBpf(classifier.bytes).directAction;
}
