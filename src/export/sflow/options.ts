/** Options of the encoder, and what is wrong with them. */
import { ArgumentError, wrongArgument } from "../../errors.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import { addressBytes } from "../../wire/text.ts";
import { ADDRESS_BYTES, HEADER_BYTES } from "./datagram.ts";
import { type FlowSampleSettings, mostSampleBytes } from "./flow_sample.ts";

/**
 * What an sFlow agent is, and how it describes packets.
 *
 * @category Export
 */
export interface SflowOptions {
  /** The agent's address, IPv4 or IPv6: collectors know the machine by it, so it should be unique and never change. */
  readonly agent: string;
  /** Number of this stream among those of the same agent address, u32. Defaults to 0. */
  readonly subAgent?: number | undefined;
  /**
   * Agent addresses of other network namespaces, by nsid. A namespace without one is a sub-agent: {@linkcode SflowOptions.subAgent} plus 1
   * plus its nsid. Many collectors ignore sub-agents and then confuse the interfaces of namespaces.
   */
  readonly agents?: ReadonlyMap<number, string> | undefined;
  /** Maximum number of bytes of a packet in a sample. Defaults to 128. */
  readonly headerBytes?: number | undefined;
  /** Maximum size of a datagram in bytes, without its IP and UDP headers. Defaults to 1400. */
  readonly maxDatagramBytes?: number | undefined;
  /**
   * Whether samples have the form for interface indexes of 2^24 and more, which takes 12 bytes more. An agent must not mix the forms, so set
   * this if there are such interfaces. Defaults to false: then the first such index changes the form for good.
   */
  readonly expanded?: boolean | undefined;
  /**
   * Whether the tunnel that a packet came through or goes into is described (records 1023 to 1026, 1029 and 1030). Defaults to false:
   * nfdump mistakes the tunnel's addresses and ports for the packet's.
   */
  readonly tunnels?: boolean | undefined;
  /**
   * Whether this machine forwards packets, as routers, bridges and hosts of containers do. Then the output of a packet that arrives is not
   * known. Defaults to false: packets to the device's own address or to a group are for the host itself.
   */
  readonly forwards?: boolean | undefined;
  /**
   * The VLAN tag that was removed from a packet before it was sampled, as TPID times 65536 plus TCI; `undefined` if none is known to have
   * been removed. The kernel does not report it, but the cookie or the group of a filter on one VLAN may. Defaults to none.
   */
  readonly strippedTag?: ((sample: SampleView) => number | undefined) | undefined;
  /** When the agent started, in nanoseconds since 1970. Defaults to the first time passed to the encoder. */
  readonly startNs?: bigint | undefined;
}

/** Options with their defaults. */
export interface SflowSettings extends FlowSampleSettings {
  readonly address: Uint8Array<ArrayBuffer>;
  readonly subAgent: number;
  readonly addresses: ReadonlyMap<number, Uint8Array<ArrayBuffer>>;
  readonly maxDatagramBytes: number;
  readonly expanded: boolean;
  readonly forwards: boolean;
  readonly startNs: bigint | undefined;
}

/** Large enough for any sample with the usual 128 bytes of packet. */
const LEAST_DATAGRAM_BYTES = 512;
/** What IPv4 can carry (RFC 768, RFC 791). */
const MOST_DATAGRAM_BYTES = 65_507;

/**
 * Checks options and fills in the defaults.
 *
 * @throws {ArgumentError}
 */
export function settingsOf(options: SflowOptions): SflowSettings {
  const { subAgent = 0, headerBytes = 128, maxDatagramBytes = 1400, expanded = false, tunnels = false, forwards = false } = options;
  within("subAgent", subAgent, 0, 0xffff_ffff);
  within("maxDatagramBytes", maxDatagramBytes, LEAST_DATAGRAM_BYTES, MOST_DATAGRAM_BYTES);
  // The records beside the packet are small, and all of them together must still fit.
  const mostHeaderBytes = maxDatagramBytes - HEADER_BYTES - ADDRESS_BYTES - mostSampleBytes(0);
  if (!(Number.isInteger(headerBytes) && headerBytes >= 0 && headerBytes <= mostHeaderBytes)) {
    const most = `${mostHeaderBytes}, the most that fits into datagrams of ${maxDatagramBytes} bytes`;
    throw wrongArgument("headerBytes", `${headerBytes} is not a whole number from 0 to ${most}`);
  }
  const addresses = new Map<number, Uint8Array<ArrayBuffer>>();
  const address = addressOf("agent", options.agent);
  const taken = new Set([address.join(".")]);
  for (const [nsid, text] of options.agents ?? []) {
    within("nsid of agents", nsid, 0, 0x7fff_ffff);
    const its = addressOf(`the agent of namespace ${nsid}`, text);
    const key = its.join(".");
    if (taken.has(key)) {
      throw new ArgumentError(`${text} is the agent address of two namespaces: collectors could not tell them apart`);
    }
    taken.add(key);
    addresses.set(nsid, its);
  }
  const { strippedTag, startNs } = options;
  return { address, subAgent, addresses, headerBytes, maxDatagramBytes, expanded, tunnels, forwards, strippedTag, startNs };
}

function within(what: string, value: number, least: number, most: number): void {
  if (!(Number.isInteger(value) && value >= least && value <= most)) {
    throw wrongArgument(what, `${value} is not a whole number from ${least} to ${most}`);
  }
}

function addressOf(what: string, text: string): Uint8Array<ArrayBuffer> {
  const bytes = addressBytes(text);
  if (!bytes) throw new ArgumentError(`${what} ${JSON.stringify(text)} is not an IPv4 or IPv6 address`);
  if (bytes.every((byte) => byte === 0)) {
    throw new ArgumentError(`${what} ${text} is the unspecified address: name one that this machine is known by`);
  }
  return bytes;
}
