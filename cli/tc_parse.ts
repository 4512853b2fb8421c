/**
 * `psample tc`: iproute2's words to requests. Nothing here opens a socket or prints.
 *
 * The order in which mistakes are found is iproute2's, because it decides the exit status: a mistake in the words
 * exits with 255, one in a classifier's words with 1, the kernel's refusal with 2, of `actions` with 255.
 */
import { type ActionSpec, encodeActionDump, encodeActionFlush, encodeActions, encodeActionsByIndex } from "../src/tc/action.ts";
import { type Control, TC_ACT_EXT_VAL_MASK } from "../src/tc/control.ts";
import { ETH_P_8021AD, ETH_P_8021Q, ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 } from "../src/tc/ether_types.ts";
import { type ClassifierSpec, encodeFilter, encodeFilterDump, encodeFilterGet, type FilterKey } from "../src/tc/filter.ts";
import {
  type FlowerKeys,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type MaskedNumber,
  type PortRange,
} from "../src/tc/flower.ts";
import { encodeQdisc, encodeQdiscDump } from "../src/tc/qdisc.ts";
import type { SampleActionSpec } from "../src/tc/sample_action.ts";
import {
  TC_H_CLSACT,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_INGRESS,
  TC_H_FFFF,
  TC_H_INGRESS,
  TC_H_ROOT,
  TC_H_UNSPEC,
  TCA_CLS_FLAGS_SKIP_HW,
  TCA_CLS_FLAGS_SKIP_SW,
  TCA_CLS_FLAGS_VERBOSE,
  type TcChange,
} from "../src/tc/tcmsg.ts";
import { type U32Key, withKey } from "../src/tc/u32.ts";
import { fromHex } from "../src/wire/text.ts";
import {
  classId,
  duplicateArgument,
  etherType,
  integer,
  invalidArgument,
  isPrefix,
  keywordOf,
  outside,
  prefixOf,
  qdiscHandle,
  STATUS_OUTSIDE,
  STATUS_USAGE,
  strtoul,
  TcRefusal,
  u32Handle,
  unsigned,
  Words,
} from "./tc_words.ts";

/** The options before the object. */
export interface TcOptions {
  /** `-s`: counters and ages. */
  readonly stats: boolean;
  /** `-d`. */
  readonly details: boolean;
  /** `-r`: handles as numbers too. */
  readonly raw: boolean;
  /** `-j`. */
  readonly json: boolean;
  /** `-p`: JSON on many lines, u32 keys in words. */
  readonly pretty: boolean;
  /** `-o`: a backslash in place of each line's end. */
  readonly oneline: boolean;
}

/** What of an answer was asked for, and need not be said again. 0 and `undefined` were not asked for. */
export interface TcView {
  /** The device. */
  readonly ifindex: number;
  /** The parent. */
  readonly parent: number;
  /** The handle of a qdisc. */
  readonly handle: number;
  /** The preference of a filter. */
  readonly preference: number;
  /** The protocol of a filter. */
  readonly protocol: number;
  /** The chain of a filter. */
  readonly chain: number | undefined;
}

/** One request to the kernel. */
export interface TcRequest {
  /** What it is, as a verb phrase. */
  readonly op: string;
  /** The message. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** As what the answer is printed; `undefined` for not at all. */
  readonly show: "qdiscs" | "filters" | "actions" | undefined;
  /** What was asked for. */
  readonly view: TcView;
  /** The exit status where the kernel refuses. */
  readonly failureStatus: number;
  /** The line that iproute2 adds then. */
  readonly failureLine: string | undefined;
}

/** A command that can be sent. */
export interface TcCommand {
  /** Tells it from a refusal. */
  readonly kind: "command";
  /** The options before the object. */
  readonly options: TcOptions;
  /** The requests, in order; the first that is refused ends the command. */
  readonly requests: readonly TcRequest[];
}

/** A command that cannot. */
export interface TcUsage {
  /** Tells it from a command. */
  readonly kind: "usage";
  /** The exit status: 0 where help was asked for. */
  readonly status: number;
  /** The text for standard error. */
  readonly text: string;
}

/** Device names to indexes. */
export interface TcLinks {
  /** The index of a device; `undefined` where there is none of that name. */
  indexOf(name: string): number | undefined;
}

/** What `psample tc help` says. */
export const TC_HELP = `Usage: psample tc [ -s | -d | -r | -j | -p | -o ] OBJECT COMMAND
  qdisc   { add | del | replace | show } dev DEV [ handle ffff: ] { clsact | ingress }
  filter  { add | del | replace | change | get | show } dev DEV [ ingress | egress | root | parent ffff: ]
          [ protocol PROTO ] [ pref N ] [ handle H ] [ chain N ]
          { matchall | flower KEYS | u32 match SELECTOR } [ skip_hw | skip_sw ] action sample ...
  actions { add | replace | change } action sample rate N group N [ trunc N ] [ CONTROL ] [ index N ] [ cookie HEX ]
  actions { get | del } action sample index N
  actions { list | flush } action sample
CONTROL is pipe, ok, pass, drop, shot, continue, reclassify, stolen, trap, jump N or goto chain N.
The words are those of tc(8). What is not about sampling is left to tc.`;

const NO_VIEW: TcView = { ifindex: 0, parent: 0, handle: 0, preference: 0, protocol: 0, chain: undefined };

const TALK_FAILED = "We have an error talking to the kernel";

/** Thrown by a lookup before the devices are known: see {@linkcode needsLinks}. */
class LinksNeeded extends Error {}

/**
 * Whether a command looks a device up, so that {@linkcode parseTc} needs the link table. Mistakes that iproute2 finds
 * before it looks are found without.
 */
export function needsLinks(words: readonly string[]): boolean {
  try {
    parseTc(words, {
      indexOf(): never {
        throw new LinksNeeded();
      },
    });
    return false;
  } catch (error) {
    if (error instanceof LinksNeeded) return true;
    throw error;
  }
}

/** Reads the words behind `psample tc`. */
export function parseTc(words: readonly string[], links: TcLinks): TcCommand | TcUsage {
  try {
    const cursor = new Words(words);
    const options = parseOptions(cursor);
    if (cursor.left === 0) return { kind: "usage", status: 0, text: TC_HELP };
    const requests = parseObject(cursor, links);
    return { kind: "command", options, requests };
  } catch (error) {
    if (error instanceof TcRefusal) return { kind: "usage", status: error.status, text: error.message };
    // Words that make sense one by one, and together no message: 33 actions, ports of a protocol without.
    if ((error instanceof TypeError || error instanceof RangeError) && error.message.startsWith("Cannot encode ")) {
      return { kind: "usage", status: STATUS_OUTSIDE, text: error.message };
    }
    throw error;
  }
}

const OPTIONS = [
  "-stats",
  "-statistics",
  "-details",
  "-raw",
  "-pretty",
  "-graph",
  "-Version",
  "-iec",
  "-help",
  "-force",
  "-batch",
  "-netns",
  "-Numeric",
  "-names",
  "-nm",
  "-cf",
  "-conf",
  "-color",
  "-timestamp",
  "-tshort",
  "-json",
  "-oneline",
  "-brief",
] as const;

function parseOptions(words: Words): TcOptions {
  const options = { stats: false, details: false, raw: false, json: false, pretty: false, oneline: false };
  for (; words.word?.startsWith("-"); words.skip()) {
    const { word } = words;
    switch (keywordOf(word, OPTIONS)) {
      case "-stats":
      case "-statistics":
        options.stats = true;
        break;
      case "-details":
        options.details = true;
        break;
      case "-raw":
        options.raw = true;
        break;
      case "-pretty":
        options.pretty = true;
        break;
      case "-json":
        options.json = true;
        break;
      case "-oneline":
        options.oneline = true;
        break;
      case "-help":
        throw new TcRefusal(TC_HELP, 0);
      case undefined:
        throw new TcRefusal(`Option "${word}" is unknown, try "psample tc -help".`, STATUS_USAGE);
      default:
        throw outside(word);
    }
  }
  return options;
}

function parseObject(words: Words, links: TcLinks): TcRequest[] {
  const word = words.take();
  switch (keywordOf(word, ["qdisc", "class", "filter", "chain", "actions", "monitor", "exec", "help"])) {
    case "qdisc":
      return [parseQdisc(words, links)];
    case "filter":
      return [parseFilter(words, links)];
    case "actions":
      return parseActions(words);
    case "help":
      throw new TcRefusal(TC_HELP, 0);
    case undefined:
      throw new TcRefusal(`Object "${word}" is unknown, try "psample tc help".`, STATUS_USAGE);
    default:
      throw outside(word);
  }
}

/** The index of a device, as ll_name_to_index() finds it: `if7` is index 7 where no device has that name. */
function device(name: string, links: TcLinks): number {
  const index = links.indexOf(name) ?? Number(/^if(\d+)/.exec(name)?.[1] ?? 0);
  if (index > 0 && index <= 0x7fffffff) return index;
  // A name that is too long has to be said to be: iproute2 cuts it, and may find another device.
  const long = name.length > 15 ? ": the name of a device has 15 characters at most" : "";
  throw new TcRefusal(`Cannot find device "${name}"${long}`, 1);
}

// qdisc

const LIST = ["list", "show", "lst"] as const;

function parseQdisc(words: Words, links: TcLinks): TcRequest {
  if (words.left === 0) return listQdiscs(words, links);
  const word = words.take();
  switch (keywordOf(word, ["add", "change", "replace", "link", "delete", ...LIST, "help"])) {
    case "add":
      return changeQdisc("add", words, links);
    case "change":
      return changeQdisc("change", words, links);
    case "replace":
      return changeQdisc("replace", words, links);
    case "delete":
      return changeQdisc("delete", words, links);
    case "list":
    case "show":
    case "lst":
      return listQdiscs(words, links);
    case "help":
      throw new TcRefusal(TC_HELP, 0);
    case "link":
      throw outside(`qdisc ${word}`);
    default:
      throw new TcRefusal(`Command "${word}" is unknown, try "psample tc help".`, STATUS_USAGE);
  }
}

function changeQdisc(change: TcChange, words: Words, links: TcLinks): TcRequest {
  let name = "";
  let handle = TC_H_UNSPEC;
  let parent = TC_H_UNSPEC;
  let kind: "clsact" | "ingress" | undefined;
  while (words.left > 0 && !kind) {
    const word = words.word!;
    if (word === "dev") {
      const value = words.value();
      if (name) throw duplicateArgument("dev", value);
      name = value;
    } else if (word === "handle") {
      if (handle) throw duplicateArgument("handle", word);
      const value = words.value();
      handle = qdiscHandle(value) ?? fail(invalidArgument("invalid qdisc ID", value));
    } else if (word === "clsact" || word === "ingress") {
      if (parent) throw new TcRefusal(`Error: "${word}" is a duplicate parent ID`, STATUS_USAGE);
      parent = word === "clsact" ? TC_H_CLSACT : TC_H_INGRESS;
      handle = TC_H_FFFF;
      kind = word;
      words.skip();
    } else if (word === "parent") {
      const value = words.value();
      if (parent) throw duplicateArgument("parent", value);
      parent = classId(value) ?? fail(invalidArgument("invalid parent ID", value));
    } else if (isPrefix(word, "help")) {
      throw new TcRefusal(TC_HELP, STATUS_USAGE);
    } else {
      // root, estimator, stab, shared blocks, and every other kind.
      throw outside(`qdisc ${words.rest()}`);
    }
  }
  while (words.left > 0) {
    // The word "handle" behind ingress takes a value, and nothing is done with it.
    if (kind !== "ingress" || words.word !== "handle") throw new TcRefusal(`What is "${words.word}"?`, 1);
    words.value();
  }
  if (parent !== TC_H_UNSPEC && parent !== TC_H_INGRESS) throw outside("qdisc of another parent than ffff:fff1");
  const ifindex = name ? device(name, links) : 0;
  return {
    op: `${change} the qdisc ${kind ?? ""} of ${name}`,
    bytes: encodeQdisc(change, { ifindex, kind, handle, parent }),
    show: undefined,
    view: NO_VIEW,
    failureStatus: 2,
    failureLine: undefined,
  };
}

function listQdiscs(words: Words, links: TcLinks): TcRequest {
  let name = "";
  let parent = 0;
  let handle = 0;
  const free = (word: string): void => {
    if (parent) throw invalidArgument("parent is already specified", word);
    if (handle) throw invalidArgument("handle is already specified", word);
  };
  while (words.left > 0) {
    const word = words.take();
    if (word === "dev") {
      name = words.take();
    } else if (word === "root") {
      free(word);
      parent = TC_H_ROOT;
    } else if (word === "ingress" || word === "clsact") {
      free(word);
      parent = TC_H_INGRESS;
    } else if (isPrefix(word, "parent")) {
      free(word);
      const value = words.take();
      parent = classId(value) ?? fail(invalidArgument("invalid parent ID", value));
    } else if (isPrefix(word, "handle")) {
      free(word);
      const value = words.take();
      handle = qdiscHandle(value) ?? fail(invalidArgument("invalid handle ID", value));
    } else if (word === "invisible") {
      throw outside("qdisc show invisible");
    } else if (isPrefix(word, "help")) {
      throw new TcRefusal(TC_HELP, STATUS_USAGE);
    } else {
      throw new TcRefusal(`What is "${word}"? Try "psample tc help".`, STATUS_USAGE);
    }
  }
  const ifindex = name ? device(name, links) : 0;
  return {
    op: "list qdiscs",
    bytes: encodeQdiscDump(ifindex),
    show: "qdiscs",
    view: { ...NO_VIEW, ifindex, parent, handle },
    failureStatus: 1,
    failureLine: "Dump terminated",
  };
}

// filter

function parseFilter(words: Words, links: TcLinks): TcRequest {
  if (words.left === 0) return listFilters(words, links);
  const word = words.take();
  switch (keywordOf(word, ["add", "change", "replace", "delete", "get", ...LIST, "help"])) {
    case "add":
      return changeFilter("add", words, links);
    case "change":
      return changeFilter("change", words, links);
    case "replace":
      return changeFilter("replace", words, links);
    case "delete":
      return changeFilter("delete", words, links);
    case "get":
      return changeFilter("get", words, links);
    case "list":
    case "show":
    case "lst":
      return listFilters(words, links);
    case "help":
      throw new TcRefusal(TC_HELP, 0);
    default:
      throw new TcRefusal(`Command "${word}" is unknown, try "psample tc help".`, STATUS_USAGE);
  }
}

/** What all commands about filters have before the classifier. */
interface FilterWords {
  name: string;
  parent: number;
  handle: string | undefined;
  preference: number;
  protocol: number | undefined;
  chain: number | undefined;
  kind: string | undefined;
}

function filterWords(words: Words, list: boolean): FilterWords {
  const found: FilterWords = {
    name: "",
    parent: 0,
    handle: undefined,
    preference: 0,
    protocol: undefined,
    chain: undefined,
    kind: undefined,
  };
  while (words.left > 0) {
    const word = words.word!;
    if (word === "dev") {
      const value = words.value();
      if (found.name) throw duplicateArgument("dev", value);
      found.name = value;
    } else if (isPrefix(word, "block")) {
      throw outside(`filter of a shared ${word}`);
    } else if (word === "root" || word === "ingress" || word === "egress") {
      if (found.parent) throw new TcRefusal(`Error: "${word}" is duplicate parent ID`, STATUS_USAGE);
      found.parent = word === "root" ? TC_H_ROOT : word === "ingress" ? TC_H_CLSACT_INGRESS : TC_H_CLSACT_EGRESS;
      words.skip();
    } else if (word === "parent") {
      const value = words.value();
      if (found.parent) throw duplicateArgument("parent", value);
      found.parent = classId(value) ?? fail(invalidArgument(list ? "invalid parent ID" : "Invalid parent ID", value));
    } else if (word === "handle") {
      const value = words.value();
      if (found.handle !== undefined) throw duplicateArgument("handle", value);
      found.handle = value;
    } else if (isPrefix(word, "preference") || isPrefix(word, "priority")) {
      const value = words.value();
      if (found.preference) throw duplicateArgument("priority", value);
      const number = unsigned(value, 0, list ? 0xffffffff : 0xffff);
      found.preference = number ?? fail(invalidArgument(list ? "invalid preference" : "invalid priority value", value));
    } else if (isPrefix(word, "protocol")) {
      const value = words.value();
      if (found.protocol !== undefined) throw duplicateArgument("protocol", value);
      found.protocol = etherType(value) ?? fail(invalidArgument("invalid protocol", value));
    } else if (isPrefix(word, "chain")) {
      const value = words.value();
      if (found.chain !== undefined) throw duplicateArgument("chain", value);
      found.chain = unsigned(value, 0) ?? fail(invalidArgument("invalid chain index value", value));
    } else if (!list && isPrefix(word, "estimator")) {
      throw outside(`filter with an ${word}`);
    } else if (isPrefix(word, "help")) {
      throw new TcRefusal(TC_HELP, list ? STATUS_USAGE : 0);
    } else if (list) {
      throw new TcRefusal(` What is "${word}"? Try "psample tc help"`, STATUS_USAGE);
    } else {
      found.kind = words.take();
      break;
    }
  }
  return found;
}

function changeFilter(what: TcChange | "get", words: Words, links: TcLinks): TcRequest {
  const found = filterWords(words, false);
  const { name, parent, handle, preference, chain, kind } = found;
  const creates = what === "add" || what === "replace";
  const protocol = found.protocol ?? (creates ? ETH_P_ALL : 0);
  if (what === "get") {
    if (found.protocol === undefined) throw new TcRefusal("Must specify filter protocol", STATUS_USAGE);
    if (!preference) throw new TcRefusal("Must specify filter priority", STATUS_USAGE);
    if (!parent) throw new TcRefusal("Must specify filter parent", STATUS_USAGE);
    if (kind === undefined) throw new TcRefusal("Must specify filter type", STATUS_USAGE);
    if (!name) throw new TcRefusal('Must specify netdevice "dev" or block index "block"', STATUS_USAGE);
  }
  const ifindex = name ? device(name, links) : 0;
  let number = 0;
  let classifier: ClassifierSpec | undefined;
  switch (kind) {
    case undefined:
      if (handle !== undefined) throw new TcRefusal('Must specify filter type when using "handle"', STATUS_USAGE);
      break;
    case "matchall":
      number = matchallHandle(handle);
      classifier = parseMatchall(words);
      break;
    case "flower":
      number = handle === undefined ? 0 : unsigned(handle, 0) ?? fail(new TcRefusal('Illegal "handle"', 1));
      classifier = parseFlower(words, protocol);
      break;
    case "u32":
      number = handle === undefined ? 0 : u32Handle(handle) ?? fail(new TcRefusal("Illegal filter ID", 1));
      classifier = parseU32(words);
      break;
    default:
      throw outside(`filter of the kind ${kind}`);
  }
  if (what === "get" && handle === undefined) throw new TcRefusal('Must specify filter "handle"', STATUS_USAGE);
  if ((creates || what === "change") && kind !== undefined && !classifier?.actions) {
    throw outside(`filter ${what} … ${kind} without action sample`);
  }
  const key: FilterKey = { ifindex, parent, preference, protocol, handle: number, chain, kind };
  return {
    op: `${what} a filter on ${name}`,
    bytes: what === "get" ? encodeFilterGet(key, classifier) : encodeFilter(what, key, classifier),
    show: what === "get" ? "filters" : undefined,
    view: { ...NO_VIEW, ifindex: what === "get" ? ifindex : 0 },
    failureStatus: 2,
    failureLine: TALK_FAILED,
  };
}

function listFilters(words: Words, links: TcLinks): TcRequest {
  const { name, parent, preference, protocol = 0, chain } = filterWords(words, true);
  const ifindex = name ? device(name, links) : 0;
  return {
    op: "list filters",
    bytes: encodeFilterDump({ ifindex, parent, preference, protocol, chain }),
    show: "filters",
    view: { ...NO_VIEW, ifindex, parent, preference, protocol, chain },
    failureStatus: 1,
    failureLine: "Dump terminated",
  };
}

/** strtol(3) without a look at what is behind the number: `12xyz` is 12. */
function matchallHandle(text: string | undefined): number {
  if (text === undefined) return 0;
  const signed = /^\s*-/.test(text);
  const magnitude = strtoul(text.replace("-", ""), 0)?.value ?? 0n;
  if (magnitude >= 1n << 63n || (!signed && magnitude === (1n << 63n) - 1n)) {
    throw new TcRefusal(`Illegal handle "${text}", must be numeric.`, 1);
  }
  return Number(BigInt.asUintN(32, signed ? -magnitude : magnitude));
}

function illegal(what: string): TcRefusal {
  return new TcRefusal(`Illegal "${what}"`, 1);
}

function parseMatchall(words: Words): ClassifierSpec | undefined {
  if (words.left === 0) return undefined;
  let id: number | undefined;
  let flags = 0;
  let actions: ActionSpec[] | undefined;
  while (words.left > 0) {
    const word = words.word!;
    if (isPrefix(word, "classid") || word === "flowid") {
      id = classId(words.value()) ?? fail(illegal("classid"));
    } else if (isPrefix(word, "action")) {
      actions = parseActionWords(words, 1);
    } else if (word === "skip_hw" || word === "skip_sw") {
      flags |= word === "skip_hw" ? TCA_CLS_FLAGS_SKIP_HW : TCA_CLS_FLAGS_SKIP_SW;
      words.skip();
      // Nothing behind it is an error in iproute2, and only here.
      words.demand();
    } else {
      throw word === "help" ? new TcRefusal(TC_HELP, 1) : new TcRefusal(`What is "${word}"?`, 1);
    }
  }
  checkFlags(flags);
  return { kind: "matchall", classId: id, flags, actions };
}

function checkFlags(flags: number): void {
  if (flags === (TCA_CLS_FLAGS_SKIP_HW | TCA_CLS_FLAGS_SKIP_SW)) {
    throw new TcRefusal("skip_hw and skip_sw are mutually exclusive", 1);
  }
}

/** flower's keywords in the order in which iproute2 compares prefixes with them. */
const FLOWER_WORDS = [
  "classid",
  "flowid",
  "hw_tc",
  "ip_flags",
  "verbose",
  "skip_hw",
  "skip_sw",
  "ct_state",
  "ct_zone",
  "ct_mark",
  "ct_label",
  "indev",
  "vlan_id",
  "vlan_prio",
  "vlan_ethtype",
  "cvlan_id",
  "cvlan_prio",
  "cvlan_ethtype",
  "mpls",
  "mpls_label",
  "mpls_tc",
  "mpls_bos",
  "mpls_ttl",
  "dst_mac",
  "src_mac",
  "ip_proto",
  "ip_tos",
  "ip_ttl",
  "dst_ip",
  "src_ip",
  "dst_port",
  "src_port",
  "tcp_flags",
  "type",
  "code",
  "arp_tip",
  "arp_sip",
  "arp_op",
  "arp_tha",
  "arp_sha",
  "enc_dst_ip",
  "enc_src_ip",
  "enc_key_id",
  "enc_dst_port",
  "enc_tos",
  "enc_ttl",
  "geneve_opts",
  "vxlan_opts",
  "erspan_opts",
  "action",
] as const;
/** Those that it wants whole. */
const FLOWER_WHOLE_WORDS: ReadonlySet<string> = new Set(["num_of_vlans", "pppoe_sid", "ppp_proto", "gtp_opts"]);

function parseFlower(words: Words, protocol: number): ClassifierSpec {
  let id: number | undefined;
  let flags = 0;
  let actions: ActionSpec[] | undefined;
  let innerType = protocol;
  const keys: FlowerKeys = {};
  const tagged = (what: string): void => {
    if (protocol !== ETH_P_8021Q && protocol !== ETH_P_8021AD) {
      throw new TcRefusal(`Can't set "${what}" if ethertype isn't 802.1Q or 802.1AD and num_of_vlans is 0`, 1);
    }
  };
  while (words.left > 0) {
    const word = words.word!;
    const keyword = FLOWER_WHOLE_WORDS.has(word) ? word : keywordOf(word, FLOWER_WORDS);
    switch (keyword) {
      case "classid":
      case "flowid":
        id = classId(words.value()) ?? fail(illegal("classid"));
        break;
      case "verbose":
        flags |= TCA_CLS_FLAGS_VERBOSE;
        words.skip();
        break;
      case "skip_hw":
        flags |= TCA_CLS_FLAGS_SKIP_HW;
        words.skip();
        break;
      case "skip_sw":
        flags |= TCA_CLS_FLAGS_SKIP_SW;
        words.skip();
        break;
      case "vlan_id": {
        const value = words.value();
        tagged("vlan_id");
        keys.vlanId = unsigned(value, 10, 0xfff) ?? fail(illegal("vlan_id"));
        break;
      }
      case "vlan_prio": {
        const value = words.value();
        tagged("vlan_prio");
        keys.vlanPriority = unsigned(value, 10, 7) ?? fail(illegal("vlan_prio"));
        break;
      }
      case "vlan_ethtype": {
        const value = words.value();
        tagged("vlan_ethtype");
        innerType = keys.vlanEtherType = etherType(value) ?? fail(invalidArgument("invalid vlan_ethtype", value));
        break;
      }
      case "ip_proto":
        keys.ipProtocol = flowerProtocol(words.value(), innerType) ?? fail(illegal("ip_proto"));
        break;
      case "dst_ip":
        keys.destination = flowerAddress(words.value(), innerType) ?? fail(illegal("dst_ip"));
        break;
      case "src_ip":
        keys.source = flowerAddress(words.value(), innerType) ?? fail(illegal("src_ip"));
        break;
      case "dst_port": {
        const ports = flowerPorts(words.value(), keys.ipProtocol) ?? fail(illegal("dst_port"));
        if ("from" in ports) keys.destinationPorts = ports;
        else keys.destinationPort = ports;
        break;
      }
      case "src_port": {
        const ports = flowerPorts(words.value(), keys.ipProtocol) ?? fail(illegal("src_port"));
        if ("from" in ports) keys.sourcePorts = ports;
        else keys.sourcePort = ports;
        break;
      }
      case "action":
        actions = parseActionWords(words, 1);
        break;
      case undefined:
        throw word === "help" ? new TcRefusal(TC_HELP, 1) : new TcRefusal(`What is "${word}"?`, 1);
      default:
        throw outside(`flower ${keyword}`);
    }
  }
  if (protocol !== ETH_P_ALL) keys.etherType = protocol;
  return { kind: "flower", classId: id, keys, flags, actions };
}

const FLOWER_PROTOCOLS = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, sctp: IPPROTO_SCTP, icmp: IPPROTO_ICMP, icmpv6: IPPROTO_ICMPV6 } as const;

function flowerProtocol(text: string, type: number): number | undefined {
  const wrong = new TcRefusal('Illegal "eth_type" for ip proto', 1);
  if (type !== ETH_P_IP && type !== ETH_P_IPV6) throw wrong;
  const name = keywordOf(text, ["tcp", "udp", "sctp", "icmp", "icmpv6"]);
  if (name === undefined) return unsigned(text, 16, 0xff);
  if ((name === "icmp" && type !== ETH_P_IP) || (name === "icmpv6" && type !== ETH_P_IPV6)) throw wrong;
  return FLOWER_PROTOCOLS[name];
}

function flowerAddress(text: string, type: number): FlowerKeys["source"] {
  // Protocol 0, in a delete without one, takes either family.
  const families: (4 | 6)[] = type === ETH_P_IP ? [4] : type === ETH_P_IPV6 ? [6] : type === 0 ? [4, 6] : [];
  if (families.length === 0) return undefined;
  for (const family of families) {
    const address = prefixOf(text, family);
    if (address) return address;
  }
  const name = families.length > 1 ? "any valid" : families[0] === 4 ? "inet" : "inet6";
  throw new TcRefusal(`Error: ${name} prefix is expected rather than "${text}".`, 1);
}

function flowerPorts(text: string, protocol: number | undefined): MaskedNumber | PortRange | undefined {
  const hasPorts = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP;
  const dash = text.indexOf("-");
  const from = unsigned(dash < 0 ? text : text.slice(0, dash), 10, 0xffff);
  const to = dash < 0 ? 0 : unsigned(text.slice(dash + 1), 10, 0xffff);
  if (from !== undefined && to !== undefined) {
    if (from && to) {
      if (to <= from) throw new TcRefusal("max value should be greater than min value", 1);
      return hasPorts ? { from, to } : undefined;
    }
    return from && hasPorts ? { value: from, mask: undefined } : undefined;
  }
  const slash = text.indexOf("/");
  if (slash < 0 || !hasPorts) return undefined;
  const value = unsigned(text.slice(0, slash), 0, 0xffff);
  const mask = unsigned(text.slice(slash + 1), 0, 0xffff);
  return value === undefined || mask === undefined ? undefined : { value, mask };
}

function parseU32(words: Words): ClassifierSpec | undefined {
  if (words.left === 0) return undefined;
  let id: number | undefined;
  let flags = 0;
  let keys: U32Key[] | undefined;
  let actions: ActionSpec[] | undefined;
  while (words.left > 0) {
    const word = words.word!;
    if (isPrefix(word, "match")) {
      words.skip();
      words.demand();
      keys = parseSelector(words, keys ?? []) ?? fail(illegal("match"));
    } else if (isPrefix(word, "classid") || word === "flowid") {
      id = classId(words.value()) ?? fail(illegal("classid"));
    } else if (isPrefix(word, "action")) {
      actions = parseActionWords(words, 1);
    } else if (word === "skip_hw" || word === "skip_sw") {
      flags |= word === "skip_hw" ? TCA_CLS_FLAGS_SKIP_HW : TCA_CLS_FLAGS_SKIP_SW;
      words.skip();
    } else if (word === "help") {
      throw new TcRefusal(TC_HELP, 1);
    } else if (keywordOf(word, ["offset", "hashkey", "divisor", "order", "police"]) || U32_WHOLE_WORDS.has(word)) {
      throw outside(`u32 ${word}`);
    } else {
      throw new TcRefusal(`What is "${word}"?`, 1);
    }
  }
  checkFlags(flags);
  return { kind: "u32", classId: id, keys, flags, actions };
}

/** Keywords of u32 that iproute2 wants whole, none of which is about sampling. */
const U32_WHOLE_WORDS: ReadonlySet<string> = new Set(["link", "ht", "sample", "indev"]);

/** Where the fields of IPv4 and IPv6 are, and how wide; the offset mask of an ICMPv6 code is iproute2's own. */
const IP_FIELDS: Readonly<Record<string, readonly [bits: 8 | 16, offset: number, offsetMask: number]>> = {
  ihl: [8, 0, 0],
  protocol: [8, 9, 0],
  sport: [16, 20, 0],
  dport: [16, 22, 0],
  icmp_type: [8, 20, 0],
  icmp_code: [8, 21, 0],
};
const IP6_FIELDS: typeof IP_FIELDS = {
  protocol: [8, 6, 0],
  sport: [16, 40, 0],
  dport: [16, 42, 0],
  icmp_type: [8, 40, 0],
  icmp_code: [8, 41, 1],
};
/** Words of `match ip` that are whole keys: value and mask of the 16 bits at offset 6. */
const IP_FRAGMENTS: Readonly<Record<string, readonly [value: number, mask: number]>> = {
  nofrag: [0, 0x3fff],
  firstfrag: [0x2000, 0x3fff],
  df: [0x4000, 0x4000],
  mf: [0x2000, 0x2000],
};

/** What follows `match`; `undefined` where iproute2 finds it illegal. */
function parseSelector(words: Words, keys: U32Key[]): U32Key[] | undefined {
  const word = words.word!;
  const keyword = keywordOf(word, ["u32", "u16", "u8", "ip", "ip6", "udp", "tcp", "icmp", "mark", "ether"]);
  if (keyword === undefined) return undefined;
  if (keyword === "mark" || keyword === "ether") throw outside(`u32 match ${keyword}`);
  words.skip();
  words.demand();
  switch (keyword) {
    case "u32":
      return parseField(words, keys, 32, 0, 0);
    case "u16":
      return parseField(words, keys, 16, 0, 0);
    case "u8":
      return parseField(words, keys, 8, 0, 0);
    case "ip":
    case "ip6":
      return parseIp(words, keys, keyword === "ip" ? 4 : 6);
    default:
      return parseTransport(words, keys, keyword);
  }
}

function parseTransport(words: Words, keys: U32Key[], keyword: "udp" | "tcp" | "icmp"): U32Key[] | undefined {
  if (words.left < 2) return undefined;
  const field = words.take();
  if (keyword === "icmp") {
    return field === "type" || field === "code" ? parseField(words, keys, 8, field === "type" ? 0 : 1, -1) : undefined;
  }
  return field === "src" || field === "dst" ? parseField(words, keys, 16, field === "src" ? 0 : 2, -1) : undefined;
}

function parseIp(words: Words, keys: U32Key[], family: 4 | 6): U32Key[] | undefined {
  if (words.left < 2) return undefined;
  const field = words.take();
  if (field === "src" || field === "dst") return parseAddress(words, keys, family, field);
  if (family === 4) {
    if (field === "tos" || isPrefix(field, "dsfield") || isPrefix(field, "precedence")) return parseField(words, keys, 8, 1, 0);
    const fragment = Object.hasOwn(IP_FRAGMENTS, field) ? IP_FRAGMENTS[field] : undefined;
    if (fragment) return pack(keys, 16, fragment[0], fragment[1], 6, 0);
  } else if (field === "flowlabel") {
    return parseField(words, keys, 32, 0, 0);
  } else if (field === "priority") {
    const value = numbers(words, 0xff, 0xff);
    return value && pack(keys, 32, value[0] << 20, value[1] << 20, 0, 0);
  }
  const fields = family === 4 ? IP_FIELDS : IP6_FIELDS;
  const place = Object.hasOwn(fields, field) ? fields[field] : undefined;
  return place && parseField(words, keys, ...place);
}

/** A value and a mask, of which the second is hexadecimal whatever it looks like. */
function numbers(words: Words, maxValue: number, maxMask: number): [number, number] | undefined {
  if (words.left < 2) return undefined;
  const value = unsigned(words.take(), 0, maxValue);
  const mask = unsigned(words.take(), 16, maxMask);
  return value === undefined || mask === undefined ? undefined : [value, mask];
}

function parseField(words: Words, keys: U32Key[], bits: 8 | 16 | 32, offset: number, offsetMask: number): U32Key[] | undefined {
  const max = 2 ** bits - 1;
  const value = numbers(words, max, max);
  const at = value && parseAt(words, offset, offsetMask);
  return at && pack(keys, bits, value[0], value[1], ...at);
}

/** `at OFFSET` or `at nexthdr+OFFSET`, if it is there. */
function parseAt(words: Words, offset: number, offsetMask: number): [number, number] | undefined {
  if (words.word !== "at") return [offset, offsetMask];
  let text = words.value();
  let mask = offsetMask;
  if (text.startsWith("nexthdr+") && text.length > "nexthdr+".length) {
    mask = -1;
    text = text.slice("nexthdr+".length);
  } else if (isPrefix(text, "nexthdr+")) {
    mask = -1;
    text = words.take();
  }
  const number = integer(text);
  return number === undefined ? undefined : [number, mask];
}

function pack(keys: U32Key[], bits: 8 | 16 | 32, value: number, mask: number, offset: number, offsetMask: number): U32Key[] | undefined {
  if (bits === 32) return withKey(keys, { value, mask, offset, offsetMask });
  // A narrow field stands in the word around it; 16 bits begin in its first half only at a multiple of 4.
  const inWord = offset & 3;
  const shift = bits === 16 ? (inWord === 0 ? 16 : 0) : 24 - 8 * inWord;
  const place = { offset: offset & ~3, offsetMask };
  return withKey(keys, { value: (value << shift) >>> 0, mask: (mask << shift) >>> 0, ...place });
}

function parseAddress(words: Words, keys: U32Key[], family: 4 | 6, field: "src" | "dst"): U32Key[] | undefined {
  const prefix = prefixOf(words.take(), family);
  const start = family === 4 ? (field === "src" ? 12 : 16) : (field === "src" ? 8 : 24);
  const at = prefix && parseAt(words, start, 0);
  if (!at) return undefined;
  const [offset, offsetMask] = at;
  const address = new DataView(prefix.address.buffer, prefix.address.byteOffset);
  const mask = new DataView(prefix.mask.buffer, prefix.mask.byteOffset);
  let result: U32Key[] | undefined = keys;
  for (let i = 0; i < prefix.address.length && result; i += 4) {
    // An IPv4 address without a prefix is a key that matches all; IPv6 leaves such words out.
    if (family === 6 && mask.getUint32(i) === 0) break;
    result = withKey(result, { value: address.getUint32(i), mask: mask.getUint32(i), offset: offset + i, offsetMask });
  }
  return result;
}

// actions

/** Kinds of action that iproute2 knows; other words it takes for a misspelt control. */
const OTHER_ACTIONS: ReadonlySet<string> = new Set(
  "bpf connmark csum ct ctinfo gact gate ife ipt mirred mpls nat pedit police simple skbedit skbmod tunnel_key vlan xt".split(" "),
);

const NEW_COMMANDS = ["change", "replace", "delete", "get", "add"] as const;

/** What follows `action`, from that word on; `status` is that of a mistake which iproute2 reports up, not at once. */
function parseActionWords(words: Words, status: number): ActionSpec[] {
  words.skip();
  words.demand();
  return parseActionList(words, status, false);
}

function parseActionList(words: Words, status: number, expects: boolean): ActionSpec[] {
  const actions: ActionSpec[] = [];
  let empty = expects;
  while (words.left > 0) {
    const word = words.word!;
    if (word === "action") {
      empty = true;
      words.skip();
      continue;
    }
    if (word === "flowid" || word === "classid") break;
    if (word === "help") throw new TcRefusal(TC_HELP, status);
    if (keywordOf(word, NEW_COMMANDS)) break;
    if (word !== "sample") {
      if (keywordOf(word, CONTROL_WORDS) || OTHER_ACTIONS.has(word)) throw outside(`action ${word}`);
      throw new TcRefusal(`Bad action type ${word}`, STATUS_USAGE);
    }
    empty = false;
    actions.push(parseAction(words, status));
  }
  if (empty) throw new TcRefusal("bad action empty 1", status);
  return actions;
}

function parseAction(words: Words, status: number): ActionSpec {
  const sample = parseSample(words, status);
  let cookie: Uint8Array | undefined;
  let hardwareStats: ActionSpec["hardwareStats"];
  let noPerCpuStats = false;
  let skipHardware = false;
  let skipSoftware = false;
  if (words.word === "cookie") {
    const value = words.value();
    if (value.length > 32) throw invalidArgument(`${value.length} Max allowed size 32`, value);
    cookie = fromHex(value) ?? fail(invalidArgument("cookie must be a hex string", value));
  }
  if (words.is("hw_stats")) {
    const value = words.value();
    hardwareStats = keywordOf(value, ["immediate", "delayed", "disabled"]) ?? fail(invalidArgument("value is invalid", value));
  }
  if (words.word === "no_percpu") {
    noPerCpuStats = true;
    words.skip();
  }
  // Either order, each once: what comes after is taken for another action.
  for (let i = 0; i < 2; i++) {
    if (words.word === "skip_sw") skipSoftware = true;
    else if (words.word === "skip_hw") skipHardware = true;
    else continue;
    words.skip();
  }
  return { sample, cookie, hardwareStats, noPerCpuStats, skipHardware, skipSoftware };
}

function parseSample(words: Words, status: number): SampleActionSpec {
  if (words.left <= 1) throw new TcRefusal(`sample bad argument count ${words.left}`, STATUS_USAGE);
  words.skip();
  const sample: SampleActionSpec = {};
  for (let keyword; (keyword = words.word && keywordOf(words.word, ["rate", "group", "trunc", "help"]));) {
    if (keyword === "help") throw new TcRefusal(TC_HELP, STATUS_USAGE);
    const value = words.value();
    const number = unsigned(value, 10);
    if (number === undefined) {
      const what = { rate: "rate", group: "group num", trunc: "truncation size" }[keyword];
      throw new TcRefusal(`Illegal ${what} ${value}: it has to be between 0 and 4294967295`, STATUS_USAGE);
    }
    if (keyword === "rate") sample.rate = number;
    else if (keyword === "group") sample.group = number;
    else sample.truncateBytes = number;
  }
  sample.control = parseControl(words);
  if (words.is("index")) {
    sample.index = unsigned(words.value(), 10) ?? fail(new TcRefusal('sample: Illegal "index"', status));
  }
  for (const [name, value] of [["group", sample.group], ["rate", sample.rate]] as const) {
    if (!sample.index && value === undefined) throw new TcRefusal(`param "${name}" not set`, STATUS_USAGE);
  }
  return sample;
}

/** Controls in the order in which iproute2 compares prefixes with them; `stolen` it cannot say itself. */
const CONTROL_WORDS = [
  "continue",
  "drop",
  "shot",
  "pass",
  "ok",
  "reclassify",
  "pipe",
  "goto",
  "jump",
  "trap",
  "stolen",
] as const;

function parseControl(words: Words): Control | undefined {
  const keyword = words.word === undefined ? undefined : keywordOf(words.word, CONTROL_WORDS);
  switch (keyword) {
    case undefined:
      return undefined;
    case "goto": {
      if (!isPrefix(words.value(), "chain")) throw new TcRefusal('"chain index" expected', STATUS_USAGE);
      const chain = unsigned(words.take(), 10, TC_ACT_EXT_VAL_MASK);
      return {
        gotoChain: chain ?? fail(new TcRefusal(`Illegal "chain index": it has to be between 0 and ${TC_ACT_EXT_VAL_MASK}`, STATUS_USAGE)),
      };
    }
    case "jump": {
      const value = words.value();
      return { jump: unsigned(value, 10, TC_ACT_EXT_VAL_MASK) ?? fail(new TcRefusal(`Invalid "jump count" (${value})`, STATUS_USAGE)) };
    }
    default:
      words.skip();
      return keyword === "shot" ? "drop" : keyword === "ok" ? "pass" : keyword;
  }
}

function parseActions(words: Words): TcRequest[] {
  const requests: TcRequest[] = [];
  const request = { show: undefined, view: NO_VIEW, failureStatus: STATUS_USAGE, failureLine: TALK_FAILED } as const;
  while (words.left > 0) {
    const word = words.take();
    switch (keywordOf(word, ["add", "change", "replace", "delete", "get", ...LIST, "flush", "help"])) {
      case "add":
      case "change":
      case "replace": {
        const change = isPrefix(word, "add") ? "add" : "replace";
        if (words.left === 0) throw new TcRefusal('Illegal "action"', STATUS_USAGE);
        const actions = parseActionList(words, STATUS_USAGE, false);
        requests.push({ ...request, op: `${change} a sample action`, bytes: encodeActions(change, actions) });
        break;
      }
      case "delete": {
        const bytes = encodeActionsByIndex("delete", parseIndexes(words));
        requests.push({ ...request, op: "delete a sample action", bytes });
        break;
      }
      case "get": {
        const bytes = encodeActionsByIndex("get", parseIndexes(words));
        requests.push({ ...request, op: "get a sample action", bytes, show: "actions" });
        break;
      }
      case "list":
      case "show":
      case "lst": {
        const bytes = encodeActionDump(parseWhole(word, words));
        requests.push({ ...request, op: "list sample actions", bytes, show: "actions", failureLine: "Dump terminated" });
        return requests;
      }
      case "flush":
        parseWhole(word, words);
        requests.push({
          ...request,
          op: "flush sample actions",
          bytes: encodeActionFlush(),
          failureStatus: 1,
          failureLine: "We have an error flushing",
        });
        return requests;
      case "help":
        throw new TcRefusal(TC_HELP, STATUS_USAGE);
      default:
        throw new TcRefusal(`Command "${word}" is unknown, try "psample tc help".`, STATUS_USAGE);
    }
  }
  return requests;
}

/** `action KIND index N` again and again. */
function parseIndexes(words: Words): number[] {
  const indexes: number[] = [];
  while (words.left > 0) {
    const word = words.take();
    if (word === "action") continue;
    if (word === "help") throw new TcRefusal(TC_HELP, STATUS_USAGE);
    if (word !== "sample") throw outside(`actions about ${word}`);
    if (!words.is("index")) throw new TcRefusal(`Error: no index specified action: ${word}`, STATUS_USAGE);
    indexes.push(unsigned(words.value(), 10) ?? fail(new TcRefusal('Illegal "index"', STATUS_USAGE)));
  }
  return indexes;
}

/** `action KIND [since MS]`: the time. */
function parseWhole(command: string, words: Words): number | undefined {
  if (words.left < 2) throw new TcRefusal(`Usage: psample tc actions ${command} action sample`, STATUS_USAGE);
  words.skip();
  const kind = words.take();
  if (kind !== "sample") throw outside(`actions ${command} about ${kind}`);
  if (words.word !== "since") return undefined;
  const value = words.value();
  return unsigned(value, 0) ?? fail(invalidArgument('dump time "since" is invalid', value));
}

/** To throw inside an expression. */
function fail(error: TcRefusal): never {
  throw error;
}
