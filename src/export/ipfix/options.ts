/** The options of an IPFIX encoder, with their defaults. */
import { type ArgumentError, wrongArgument } from "../../errors.ts";

/**
 * How records of packets or flows are sent.
 *
 * @category Export
 */
export interface IpfixOptions {
  /** Number of the first observation domain, 1 to 4294967295. Defaults to 1. */
  domain?: number | undefined;
  /**
   * What gets its own observation domain. `"rate"`: each sampling rate in each network namespace, because some collectors (goflow2) know
   * only one rate per domain. `"namespace"`: each network namespace. `"cookie"`: the same, but samples with the cookie of OVN's local
   * sampling are in the domain that it names. Domains are numbered from {@linkcode IpfixOptions.domain} on, in the order of appearance.
   * Defaults to `"rate"`.
   */
  domains?: "rate" | "namespace" | "cookie" | undefined;
  /**
   * The transport of messages. UDP may lose templates, so they are sent again by a timer. TCP does not: they are sent once, and again after
   * {@linkcode DatagramEncoder.announce}; the timer is then only for records of options, such as statistics. Defaults to `"udp"`.
   */
  transport?: "udp" | "tcp" | undefined;
  /** Maximum size of a message in bytes, which by UDP is one datagram, without its IP and UDP headers, 512 to 65507. Defaults to 1400. */
  maxDatagramBytes?: number | undefined;
  /** How often templates, rates and names are sent again at least, in milliseconds, from 100 on. Defaults to 30000. */
  templateRefreshMs?: number | undefined;
  /**
   * After which part of that time, 0 to 1, they are sent again for the first time. Exporters that start together should differ in it, for
   * instance by `Math.random()`. Defaults to 1.
   */
  refreshPhase?: number | undefined;
  /**
   * Returns a number between 0 and 1, as `Math.random` does. With it, times are randomly shortened by up to a quarter: that between
   * templates, and how long a flow is active; flows that exist at the start are reported after a random part of it. So exporters that start
   * together do not send together. Defaults to none: all times are exact.
   */
  random?: (() => number) | undefined;
  /** Whether PSAMP's own reports are sent too (RFC 5476, section 6.5): selection sequences, statistics, accuracy. Defaults to false. */
  strict?: boolean | undefined;
  /** N of "1 in N" for samples that do not say it, such as packets that another program recorded. Defaults to 1. */
  oneIn?: number | undefined;
}

/**
 * How packet reports are sent.
 *
 * @category Export
 */
export interface IpfixPacketOptions extends IpfixOptions {
  /** Maximum number of bytes of a packet that are sent, 0 to 65535. Defaults to 128. */
  headerBytes?: number | undefined;
  /** Whether times are also sent as milliseconds, which more collectors read than nanoseconds. Defaults to true. */
  milliseconds?: boolean | undefined;
  /**
   * A private enterprise number, 1 to 4294967295, under which cookies (element 1, octetArray), queues (2, unsigned16), their occupancy in
   * bytes (3, unsigned64) and latencies in nanoseconds (4, unsigned64) are sent. Defaults to none: they are not sent.
   */
  enterprise?: number | undefined;
}

/**
 * How flow records are sent.
 *
 * @category Export
 */
export interface IpfixFlowOptions extends IpfixOptions {
  /** An active flow is reported at least this often, in milliseconds. Defaults to 10000. */
  activeMs?: number | undefined;
  /** A flow is reported and forgotten after this many milliseconds without a packet. Defaults to 5000. */
  idleMs?: number | undefined;
  /** Maximum number of flows in memory, 1 to 1048576; the one that was idle longest makes room for a new one. Defaults to 65536. */
  flows?: number | undefined;
  /**
   * Whether packets and bytes are multiplied by N of "1 in N", for collectors that do not; the records then say that nothing was sampled.
   * Defaults to false.
   */
  scale?: boolean | undefined;
}

/** Options with their defaults. */
export type Complete<Options> = { readonly [Key in keyof Options]-?: Exclude<Options[Key], undefined> };

/** The longest time between two templates, active or idle, in milliseconds: a day. */
const DAY_MS = 86_400_000;
const U32 = 0xffff_ffff;
/** Nothing is left to chance. */
const EXACT = (): number => 1;
const DOMAINS = ["rate", "namespace", "cookie"] as const;

/** The error that an option is wrong. */
export function refused(option: string, why: string): ArgumentError {
  return wrongArgument(option, why, "Cannot export IPFIX: ");
}

function ofRange(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw refused(name, `${value} is not a whole number from ${least} to ${most}`);
}

/** The options of both kinds of records. */
export function completeOptions(options: IpfixOptions): Complete<IpfixOptions> {
  const { domain = 1, domains = "rate", maxDatagramBytes = 1400, templateRefreshMs = 30_000 } = options;
  const { refreshPhase = 1, random = EXACT, strict = false, oneIn = 1, transport = "udp" } = options;
  if (transport !== "udp" && transport !== "tcp") {
    throw refused("transport", `${JSON.stringify(transport)} is not "udp" or "tcp"`);
  }
  if (!DOMAINS.includes(domains)) {
    throw refused("domains", `${JSON.stringify(domains)} is not "rate", "namespace" or "cookie"`);
  }
  if (!(oneIn >= 1 && oneIn <= U32)) {
    throw refused("oneIn", `${oneIn} is not a number from 1 to ${U32}`);
  }
  if (!(refreshPhase >= 0 && refreshPhase <= 1)) {
    throw refused("refreshPhase", `${refreshPhase} is not a number from 0 to 1`);
  }
  return {
    domain: ofRange("domain", domain, 1, U32),
    domains,
    maxDatagramBytes: ofRange("maxDatagramBytes", maxDatagramBytes, 512, 65_507),
    templateRefreshMs: ofRange("templateRefreshMs", templateRefreshMs, 100, DAY_MS),
    refreshPhase,
    random,
    strict,
    oneIn,
    transport,
  };
}

/** The options of packet reports. */
export function completeReportOptions(
  options: IpfixPacketOptions,
): { readonly headerBytes: number; readonly milliseconds: boolean; readonly enterprise: number | undefined } {
  const { headerBytes = 128, milliseconds = true, enterprise } = options;
  return {
    headerBytes: ofRange("headerBytes", headerBytes, 0, 65_535),
    milliseconds,
    enterprise: enterprise === undefined ? undefined : ofRange("enterprise", enterprise, 1, U32),
  };
}

/** The options of flow records. */
export function completeFlowOptions(
  options: IpfixFlowOptions,
): { readonly activeMs: number; readonly idleMs: number; readonly flows: number; readonly scale: boolean } {
  const { activeMs = 10_000, idleMs = 5_000, flows = 65_536, scale = false } = options;
  return {
    activeMs: ofRange("activeMs", activeMs, 1, DAY_MS),
    idleMs: ofRange("idleMs", idleMs, 1, DAY_MS),
    flows: ofRange("flows", flows, 1, 1 << 20),
    scale,
  };
}
