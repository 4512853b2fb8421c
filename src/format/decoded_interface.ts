/** An interface of a recording, as it is being decoded. */
import { NO_DEVICES } from "../link/device.ts";
import type { RecordedPlace } from "../stream/batch.ts";
import { LITTLE } from "../wire/native.ts";
import type { InterfaceDescription } from "./capture.ts";
import {
  DLT_RAW,
  DLT_RAW_OPENBSD,
  LINKTYPE_ETHERNET,
  LINKTYPE_IPV4,
  LINKTYPE_IPV6,
  LINKTYPE_LINUX_SLL,
  LINKTYPE_LINUX_SLL2,
  LINKTYPE_NETLINK,
  LINKTYPE_RAW,
} from "./link_types.ts";
import type { NetlinkMessages } from "./netlink_messages.ts";

/** An interface of a recording. */
export interface Origin {
  /** Where its packets were sampled; `undefined` if it recorded netlink messages, which name devices themselves. */
  readonly place: RecordedPlace | undefined;
}

/** What the packets of an interface are. */
export type Content = "netlink" | "cooked" | "cooked 2" | "packets" | "other";

/** By link type. */
export const CONTENTS: ReadonlyMap<number, Content> = new Map([
  [LINKTYPE_NETLINK, "netlink"],
  [LINKTYPE_LINUX_SLL, "cooked"],
  [LINKTYPE_LINUX_SLL2, "cooked 2"],
  [LINKTYPE_ETHERNET, "packets"],
  [LINKTYPE_RAW, "packets"],
  [DLT_RAW, "packets"],
  [DLT_RAW_OPENBSD, "packets"],
  [LINKTYPE_IPV4, "packets"],
  [LINKTYPE_IPV6, "packets"],
]);

/** What is known of an interface, and of the losses recorded for it. */
export class DecodedInterface implements Origin {
  readonly content: Content;
  readonly linkType: number;
  readonly little: boolean;
  readonly place: RecordedPlace | undefined;
  readonly messages: NetlinkMessages | undefined;
  /** Whether losses are recorded in our own records, and how many before the next sample. */
  tells = false;
  lost = 0;
  /** Whether psample described it, and the losses recorded so far beside its packets. */
  readonly isOwn: boolean;
  told = 0;

  constructor(
    description: Pick<InterfaceDescription, "linkType" | "little">,
    place: RecordedPlace | undefined,
    messages: NetlinkMessages | undefined,
  ) {
    this.isOwn = place !== undefined && place.devices !== NO_DEVICES;
    this.linkType = description.linkType;
    this.content = CONTENTS.get(description.linkType) ?? "other";
    this.little = description.little;
    this.place = place;
    this.messages = messages;
  }
}

/** Used if it is not known where something was recorded. */
export const NOWHERE = new DecodedInterface({ linkType: -1, little: LITTLE }, undefined, undefined);
