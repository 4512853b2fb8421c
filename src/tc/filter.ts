/**
 * Filters: the part of RTM_NEWTFILTER around the classifier's own attributes.
 * Source: net/sched/cls_api.c.
 */
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_ECHO, NLM_F_REQUEST } from "../wire/message.ts";
import { type Action, readActions } from "./action.ts";
import { ETH_P_ALL } from "../wire/ether_types.ts";
import { type BpfSpec, readBpf, writeBpf } from "./bpf.ts";
import { type Flower, type FlowerSpec, readFlower, writeFlower } from "./flower.ts";
import { type Matchall, type MatchallSpec, readMatchall, writeMatchall } from "./matchall.ts";
import {
  decodeTcHeader,
  encodeTcHeader,
  FILTER_FLAGS,
  filterInfo,
  keepUnknown,
  RTM_DELTFILTER,
  RTM_GETTFILTER,
  RTM_NEWTFILTER,
  splitFilterInfo,
  TCA_CHAIN,
  TCA_KIND,
  TCA_OPTIONS,
  type TcChange,
  TCMSG_SIZE,
  type UnknownAttribute,
} from "./tcmsg.ts";
import { readU32, type U32, type U32Spec, writeU32 } from "./u32.ts";

/** The contents of a filter of a kind that this package does not decode. */
export interface OtherClassifier {
  /** Always `"other"`: the kind itself is in {@linkcode Filter.kind}. */
  readonly kind: "other";
  /** The attributes inside TCA_OPTIONS. */
  readonly bytes: Uint8Array;
  /** What is done with the packets, in order; `undefined` if the attribute for the actions is not known. */
  readonly actions: readonly Action[] | undefined;
}

// include/uapi/linux/pkt_cls.h: TCA_BASIC_ACT, TCA_BPF_ACT and so on, of kinds that are not decoded otherwise.
const ACTIONS_OF_KIND: Readonly<Record<string, number>> = { basic: 3, bpf: 1, cgroup: 1, flow: 9, fw: 4, route: 6 };

/** Whether the attribute for the actions of this kind of filter is known: a filter without it then has none. */
export function knowsActionsOf(kind: string): boolean {
  return kind === "matchall" || kind === "flower" || kind === "u32" || Object.hasOwn(ACTIONS_OF_KIND, kind);
}

/** A filter as the kernel describes it. */
export interface Filter {
  /** The device. */
  readonly ifindex: number;
  /** The filter's own number among those with its preference; 0 for the entry that represents all of them. */
  readonly handle: number;
  /** Where it is attached: {@linkcode TC_H_CLSACT_INGRESS}, {@linkcode TC_H_CLSACT_EGRESS} or a qdisc. */
  readonly parent: number;
  /** Lower ones come first. */
  readonly preference: number;
  /** The EtherType; {@linkcode ETH_P_ALL} for every one. */
  readonly protocol: number;
  /** Such as `"matchall"`. */
  readonly kind: string;
  /** The chain it is in. */
  readonly chain: number | undefined;
  /** The classifier's contents; `undefined` in the entry that represents a preference. */
  readonly classifier: Matchall | Flower | U32 | OtherClassifier | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/** Identifies a filter. */
export interface FilterKey {
  /** The device. */
  ifindex: number;
  /** Where it is attached. */
  parent: number;
  /** 0 or none lets the kernel choose one, or means all of them in a delete. */
  preference?: number | undefined;
  /** The EtherType; defaults to {@linkcode ETH_P_ALL}. */
  protocol?: number | undefined;
  /** 0 or none lets the kernel choose one, or means all of the preference in a delete. */
  handle?: number | undefined;
  /** The chain; defaults to 0. */
  chain?: number | undefined;
  /** The kind, needed for everything but a delete of all filters of a preference. */
  kind?: string | undefined;
}

/** What a filter matches, and does. */
export type ClassifierSpec = MatchallSpec | FlowerSpec | U32Spec | BpfSpec;

/** A request that changes a filter. Without a classifier only the key is sent, which is enough for a delete. */
export function encodeFilter(change: TcChange, key: FilterKey, classifier?: ClassifierSpec): Uint8Array<ArrayBuffer> {
  const type = change === "delete" ? RTM_DELTFILTER : RTM_NEWTFILTER;
  return encode(type, FILTER_FLAGS[change], key, classifier);
}

/** A request for one filter. */
export function encodeFilterGet(key: FilterKey, classifier?: ClassifierSpec): Uint8Array<ArrayBuffer> {
  // Kernels before 4.20 answer a get only if it asks for an echo.
  return encode(RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_ECHO, key, classifier);
}

/** A request for the filters of a device at a parent; of one preference, protocol or chain if the key names it. */
export function encodeFilterDump(key: Omit<FilterKey, "handle" | "kind">): Uint8Array<ArrayBuffer> {
  const { ifindex, parent, preference = 0, protocol = 0, chain } = key;
  const header = encodeTcHeader({ ifindex, handle: 0, parent, info: filterInfo(preference, protocol) });
  return encodeMessage({ type: RTM_GETTFILTER, flags: NLM_F_REQUEST | NLM_F_DUMP }, header, (writer) => {
    writer.u32(TCA_CHAIN, chain);
  });
}

function encode(type: number, flags: number, key: FilterKey, classifier?: ClassifierSpec): Uint8Array<ArrayBuffer> {
  const { ifindex, handle = 0, parent, preference = 0, protocol = ETH_P_ALL } = key;
  const header = encodeTcHeader({ ifindex, handle, parent, info: filterInfo(preference, protocol) });
  return encodeMessage({ type, flags }, header, (writer) => {
    writer.u32(TCA_CHAIN, key.chain);
    writer.string(TCA_KIND, key.kind ?? classifier?.kind);
    if (!classifier) return;
    writer.nest(TCA_OPTIONS, () => {
      if (classifier.kind === "matchall") writeMatchall(writer, classifier);
      else if (classifier.kind === "flower") writeFlower(writer, classifier);
      else if (classifier.kind === "bpf") writeBpf(writer, classifier);
      else writeU32(writer, classifier);
    });
  });
}

/** Reads RTM_NEWTFILTER or RTM_DELTFILTER. */
export function decodeFilter(message: Message): Filter {
  const header = decodeTcHeader(message, "filter");
  let kind = "";
  let chain: number | undefined;
  let options: AttrReader | undefined;
  let bytes: Uint8Array = new Uint8Array();
  const unknown: UnknownAttribute[] = [];
  const attr = AttrReader.of(message.payload.subarray(TCMSG_SIZE));
  while (attr.next()) {
    switch (attr.type) {
      case TCA_KIND:
        kind = attr.string();
        break;
      case TCA_OPTIONS:
        // Nothing guarantees that the kind comes first.
        options = attr.nested();
        bytes = attr.bytes();
        break;
      case TCA_CHAIN:
        chain = attr.u32();
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  const { ifindex, handle, parent, info } = header;
  return { ifindex, handle, parent, ...splitFilterInfo(info), kind, chain, classifier: options && classify(kind, options, bytes), unknown };
}

function classify(kind: string, options: AttrReader, bytes: Uint8Array): Filter["classifier"] {
  switch (kind) {
    case "matchall":
      return readMatchall(options);
    case "flower":
      return readFlower(options);
    case "u32":
      return readU32(options);
    default:
      return { kind: "other", bytes, actions: otherActions(kind, options) };
  }
}

function otherActions(kind: string, options: AttrReader): Action[] | undefined {
  const type = ACTIONS_OF_KIND[kind];
  let actions: Action[] | undefined;
  while (options.next()) if (options.type === type) actions = readActions(options.nested());
  return actions;
}

/** The actions of a filter, none if its kind is not decoded. */
export function actionsOf(filter: Filter): NonNullable<Matchall["actions"]> {
  const { classifier } = filter;
  return classifier?.actions ?? [];
}

/** TCA_CLS_FLAGS_* of a filter, 0 if its kind has none. */
export function classifierFlags({ kind, classifier }: Filter): number {
  // Those of a bpf filter are not decoded.
  if (classifier?.kind === "other") return kind === "bpf" ? readBpf(classifier.bytes).flags : 0;
  return classifier?.flags ?? 0;
}
