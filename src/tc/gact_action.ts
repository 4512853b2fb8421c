/**
 * The action `gact`, which only decides: it is often put after `sample` to end classification, so lists show it.
 * Source: include/uapi/linux/tc_act/tc_gact.h, net/sched/act_gact.c.
 */
import type { AttrReader } from "../wire/attr_reader.ts";
import { LITTLE } from "../wire/native.ts";
import { type Control, decodeControl } from "./control.ts";
import { type ActionAges, type ActionParameters, readAges, readParameters } from "./sample_action.ts";
import { keepUnknown, type UnknownAttribute } from "./tcmsg.ts";

// include/uapi/linux/tc_act/tc_gact.h
const TCA_GACT_TM = 1;
const TCA_GACT_PARMS = 2;
const TCA_GACT_PROB = 3;
const TCA_GACT_PAD = 4;

/**
 * `struct tc_gact_p`: another decision for a share of the packets.
 *
 * @category Sampling
 */
export interface GactProbability {
  /** 0 none, 1 random, 2 every Nth. */
  readonly type: number;
  /** N of "1 in N packets". */
  readonly value: number;
  /** What happens to it. */
  readonly control: Control;
}

/**
 * A gact action as the kernel describes it.
 *
 * @category Sampling
 */
export interface GactAction extends ActionParameters {
  /** Another decision for a share of the packets. */
  readonly probability: GactProbability | undefined;
  /** Its ages. */
  readonly ages: ActionAges | undefined;
  /** What else the kernel sent. */
  readonly unknown: readonly UnknownAttribute[];
}

/** Reads the attributes of a gact action; `undefined` if the one that every action has is missing. */
export function readGactAction(attr: AttrReader): GactAction | undefined {
  let parameters: ActionParameters | undefined;
  let probability: GactProbability | undefined;
  let ages: ActionAges | undefined;
  const unknown: UnknownAttribute[] = [];
  while (attr.next()) {
    switch (attr.type) {
      case TCA_GACT_TM:
        ages = readAges(attr);
        break;
      case TCA_GACT_PARMS:
        parameters = readParameters(attr);
        break;
      case TCA_GACT_PROB: {
        // u16 ptype, u16 pval, i32 paction.
        const view = attr.atLeast(8);
        probability = {
          type: view.getUint16(0, LITTLE),
          value: view.getUint16(2, LITTLE),
          control: decodeControl(view.getInt32(4, LITTLE)),
        };
        break;
      }
      case TCA_GACT_PAD:
        break;
      default:
        unknown.push(keepUnknown(attr));
    }
  }
  return parameters && { ...parameters, probability, ages, unknown };
}
