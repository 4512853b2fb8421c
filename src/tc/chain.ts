/**
 * Chains of filters. One exists as long as it has filters, or after it was created explicitly (`tc chain add`), with or
 * without a template for its filters. Source: tc_ctl_chain and tc_chain_fill_node in net/sched/cls_api.c (Linux 4.19).
 */
import { AttrReader } from "../wire/attr_reader.ts";
import { encodeMessage, type Message, NLM_F_DUMP, NLM_F_REQUEST } from "../wire/message.ts";
import { decodeTcHeader, encodeTcHeader, RTM_GETCHAIN, TCA_CHAIN, TCA_KIND, TCMSG_SIZE } from "./tcmsg.ts";

/** A chain as the kernel describes it. */
export interface Chain {
  /** The device. */
  readonly ifindex: number;
  /** The number of the qdisc (not of the side of a clsact), or of the block if several devices share it. */
  readonly parent: number;
  /** The chain's own number. */
  readonly index: number;
  /** The kind of classifier that it has a template for. */
  readonly template: string | undefined;
}

/** A request for the chains of a device at a parent, without those that only actions refer to. */
export function encodeChainDump(ifindex: number, parent: number): Uint8Array<ArrayBuffer> {
  const header = encodeTcHeader({ ifindex, handle: 0, parent, info: 0 });
  return encodeMessage({ type: RTM_GETCHAIN, flags: NLM_F_REQUEST | NLM_F_DUMP }, header);
}

/** Reads RTM_NEWCHAIN or RTM_DELCHAIN. */
export function decodeChain(message: Message): Chain {
  const { ifindex, parent } = decodeTcHeader(message, "chain");
  let index = 0;
  let template: string | undefined;
  const attr = AttrReader.of(message.payload.subarray(TCMSG_SIZE));
  while (attr.next()) {
    if (attr.type === TCA_CHAIN) index = attr.u32();
    else if (attr.type === TCA_KIND) template = attr.string();
  }
  return { ifindex, parent, index, template };
}
