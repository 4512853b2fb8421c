/**
 * What happens to the packets that a filter matches: whether the next filter sees them, and which of its actions do.
 * Sources: `__tcf_classify` and `tcf_exts_exec` in net/sched/cls_api.c, `tcf_action_exec` in net/sched/act_api.c,
 * `cls_bpf_exec_opcode` in net/sched/cls_bpf.c.
 */
import { AttrReader } from "../wire/attr_reader.ts";
import { LITTLE } from "../wire/native.ts";
import { type Action, TCA_ACT_FLAGS_SKIP_SW } from "./action.ts";
import { readBpf } from "./bpf.ts";
import { type Control, decodeControl, TC_ACT_OK } from "./control.ts";
import { actionsOf, type Filter, knowsActionsOf } from "./filter.ts";
import { TCA_U32_POLICE } from "./u32.ts";

/** What may happen to a packet: everything that is set is possible, for this packet or another. */
export interface Fate {
  /** Whether the next filter sees it. */
  readonly next: boolean;
  /** Classification ends, and the packet continues. */
  readonly accepted: boolean;
  /** Classification ends, and the packet does not continue: it is dropped, redirected or trapped. */
  readonly taken: boolean;
  /** The chains that classification continues in. */
  readonly chains: ReadonlySet<number>;
  /** A program decides, or an action that is not known: anything is possible. */
  readonly unknown: boolean;
  /** The controls that keep the packet from the next filter. */
  readonly controls: readonly Control[];
}

/** The way of a packet through the actions of a filter. */
export interface Course {
  /** Where it ends. */
  readonly fate: Fate;
  /** Places, from 0, of the actions that every packet passes. */
  readonly always: ReadonlySet<number>;
  /** Places of the actions that a packet may pass. */
  readonly sometimes: ReadonlySet<number>;
}

/** What may happen to the packets that a filter matches. */
export function fateOf(filter: Filter): Fate {
  const { classifier, kind } = filter;
  if (!classifier) return NEXT;
  if (classifier.kind === "u32") {
    // What is not terminal leads to filters that are listed by themselves; a hash table matches nothing.
    if (!isTerminal(filter)) return NEXT;
    // Old-style policing: whether the packet is accepted depends on the rate.
    if (classifier.unknown.some(({ type }) => type === TCA_U32_POLICE)) return UNKNOWN;
  }
  if (classifier.kind === "other") {
    if (!knowsActionsOf(kind)) return UNKNOWN;
    if (kind === "bpf") {
      const { directAction, results } = readBpf(classifier.bytes);
      if (directAction) return results ? fateOfControls([...results].map(directControl)) : UNKNOWN;
    }
  }
  return courseOf(actionsOf(filter)).fate;
}

/** Whether a u32 filter decides, instead of leading on to a hash table or being one. */
function isTerminal({ classifier }: Filter): boolean {
  return classifier?.kind === "u32" && classifier.divisor === undefined && classifier.link === undefined;
}

const NEXT: Fate = { next: true, accepted: false, taken: false, chains: new Set(), unknown: false, controls: [] };
const UNKNOWN: Fate = { ...NEXT, next: false, unknown: true };

/** `cls_bpf_exec_opcode`: other results than these are TC_ACT_UNSPEC. */
const DIRECT_RESULTS = new Set<Control>(["pass", "drop", "stolen", "trap", "redirect"]);

function directControl(result: number): Control {
  const control = decodeControl(result);
  return DIRECT_RESULTS.has(control) ? control : "continue";
}

function fateOfControls(controls: readonly Control[]): Fate {
  const walk = new Walk([]);
  for (const control of controls) walk.follow(control, 0, false);
  return walk.fate;
}

/** The way of packets through the actions of a filter. */
export function courseOf(actions: readonly Action[]): Course {
  const walk = new Walk(actions);
  walk.visit(0, true);
  return walk;
}

/** Actions that leave the packet as it is: classifying it again ends as it did before. */
const LEAVES_ALONE: ReadonlySet<string> = new Set(["gact", "sample", "police", "mirred", "simple", "gate"]);

class Walk implements Course {
  readonly always: Set<number> = new Set();
  readonly sometimes: Set<number> = new Set();
  readonly #actions: readonly Action[];
  readonly #chains = new Set<number>();
  readonly #controls: Control[] = [];
  /** The actions that led to where the walk is now. */
  readonly #path = new Set<number>();
  #next = false;
  #accepted = false;
  #taken = false;
  #unknown = false;

  constructor(actions: readonly Action[]) {
    this.#actions = actions;
  }

  get fate(): Fate {
    return {
      next: this.#next,
      accepted: this.#accepted,
      taken: this.#taken,
      chains: this.#chains,
      unknown: this.#unknown,
      controls: this.#controls,
    };
  }

  visit(place: number, always: boolean): void {
    const action = this.#actions[place];
    // After the last action, and in a loop: the kernel gives up and accepts the packet.
    if (!action || this.#path.has(place)) return this.#accept(action ? { jump: place } : this.#actions.length > 0 ? "pipe" : "pass");
    this.sometimes.add(place);
    if (always) this.always.add(place);
    this.#path.add(place);
    const controls = runsInSoftware(action) ? controlsOf(action) : ["pipe"] as const;
    if (controls) {
      const different = [...new Map(controls.map((control) => [JSON.stringify(control), control])).values()];
      for (const control of different) this.follow(control, place, always && different.length === 1);
    } else {
      this.#unknown = true;
      this.visit(place + 1, false);
    }
    this.#path.delete(place);
  }

  /** Goes where `control` leads from the action at `place`. */
  follow(control: Control, place: number, always: boolean): void {
    switch (control) {
      case "continue":
        this.#next = true;
        return;
      case "pipe":
        return this.visit(place + 1, always);
      case "pass":
      // The action is repeated until the kernel gives up.
      case "repeat":
        return this.#accept(control);
      case "reclassify":
        // From the first filter again. An unchanged packet comes here again, until the kernel drops it.
        if ([...this.sometimes].some((place) => !LEAVES_ALONE.has(this.#actions[place]!.kind))) this.#unknown = true;
        else this.#take(control);
        return;
      case "drop":
      case "stolen":
      case "queued":
      case "redirect":
      case "trap":
        return this.#take(control);
    }
    if ("gotoChain" in control) {
      this.#chains.add(control.gotoChain);
      this.#controls.push(control);
    } else if ("jump" in control) {
      // To this position in the list, counted from its beginning; a position that does not exist ends it.
      if (control.jump === 0 || control.jump >= this.#actions.length) this.#accept(control);
      else this.visit(control.jump, always);
    } else if (control.value < 0) {
      this.#next = true;
    } else {
      this.#accept(control);
    }
  }

  #accept(control: Control): void {
    this.#accepted = true;
    this.#controls.push(control);
  }

  #take(control: Control): void {
    this.#taken = true;
    this.#controls.push(control);
  }
}

/** Whether the kernel itself does an action, and not only hardware. */
export function runsInSoftware({ flags }: Action): boolean {
  return ((flags?.value ?? 0) & TCA_ACT_FLAGS_SKIP_SW) === 0;
}

/**
 * Where the struct is that begins with `tc_gen`, by kind of action: TCA_MIRRED_PARMS and so on, of
 * include/uapi/linux/tc_act/. The first that is there counts: pedit has two.
 */
const PARAMETERS: Readonly<Record<string, readonly number[]>> = {
  connmark: [1],
  csum: [1],
  ct: [1],
  ctinfo: [3],
  ife: [1],
  mirred: [2],
  mpls: [2],
  nat: [1],
  pedit: [2, 4],
  simple: [2],
  skbedit: [2],
  skbmod: [2],
  tunnel_key: [2],
  vlan: [2],
};
const TCA_GATE_PARMS = 2;
const TCA_POLICE_TBF = 1;
const TCA_POLICE_RESULT = 5;

/** What may happen to a packet after an action; `undefined` if the action is not known, or a program decides. */
function controlsOf(action: Action): readonly Control[] | undefined {
  const { kind, sample, gact, options } = action;
  if (sample) return [sample.control];
  if (gact) return gact.probability?.type ? [gact.control, gact.probability.control] : [gact.control];
  if (!options) return undefined;
  if (kind === "police") return policeControls(options);
  // A closed gate drops packets.
  if (kind === "gate") return withControl(options, [TCA_GATE_PARMS])?.concat("drop");
  const at = Object.hasOwn(PARAMETERS, kind) ? PARAMETERS[kind] : undefined;
  return at && withControl(options, at);
}

/** The control in the `tc_gen` that an attribute of these types begins with: u32 index, u32 capab, i32 action. */
function withControl(options: Uint8Array, types: readonly number[]): Control[] | undefined {
  const attr = AttrReader.of(options);
  while (attr.next()) if (types.includes(attr.type)) return [decodeControl(attr.atLeast(12).getInt32(8, LITTLE))];
  return undefined;
}

/** Within the rate the result, by default TC_ACT_OK; above it the action of `struct tc_police`: u32 index, i32 action. */
function policeControls(options: Uint8Array): Control[] | undefined {
  let within = TC_ACT_OK;
  let above: number | undefined;
  const attr = AttrReader.of(options);
  while (attr.next()) {
    if (attr.type === TCA_POLICE_TBF) above = attr.atLeast(8).getInt32(4, LITTLE);
    else if (attr.type === TCA_POLICE_RESULT) within = attr.i32();
  }
  return above === undefined ? undefined : [decodeControl(within), decodeControl(above)];
}
