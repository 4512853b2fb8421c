/** Opens sinks that send samples to collectors. */
import { agentAddress } from "../control/agent_address.ts";
import { forwardsPackets } from "../control/forwarding.ts";
import { ArgumentError } from "../errors.ts";
import type { DatagramEncoder, Datagrams, SendDatagrams } from "../export/datagrams.ts";
import { IpfixFlowEncoder } from "../export/ipfix/flow_encoder.ts";
import { type IpfixFlowOptions, type IpfixOptions, type IpfixPacketOptions, refused } from "../export/ipfix/options.ts";
import { IpfixPacketEncoder } from "../export/ipfix/packet_encoder.ts";
import { SflowEncoder } from "../export/sflow/encoder.ts";
import type { SflowOptions } from "../export/sflow/options.ts";
import { type NetnsOptions, open } from "../socket/open.ts";
import { splitTransport } from "../socket/target.ts";
import type { Sys } from "../sys/sys.ts";
import { type CounterOptions, CounterPoller } from "./counter_poller.ts";
import { DatagramSink, type ExportOptions, type ExportSink } from "./datagram_sink.ts";
import { BLOCK_BYTES } from "./message_queue.ts";
import { STREAM_SPOOL_BYTES, StreamSink } from "./stream_sink.ts";

/** The ports of IANA's registry. */
export const SFLOW_PORT = 6343;
export const IPFIX_PORT = 4739;
const MAX_DATAGRAM_BYTES = 1400;
/** Two blocks of messages: one that is sent, and one that is filled. */
const LEAST_SPOOL_BYTES = 2 * BLOCK_BYTES;

/**
 * How to {@linkcode sflowTo}.
 *
 * @category Export
 */
export interface SflowToOptions extends Omit<SflowOptions, "agent" | "forwards">, ExportOptions, NetnsOptions {
  /**
   * The agent's address, IPv4 or IPv6: collectors know the machine by it. Defaults to the most public address of the network namespace: a
   * public IPv4 address, else a private one, else one of IPv6, and if there are several, that of the device with the lowest index.
   */
  readonly agent?: string | undefined;
  /**
   * Whether this machine forwards packets, as routers, bridges and hosts of containers do: then the destination of an arriving packet is
   * unknown, otherwise a packet to the device's own address is for this machine. Defaults to the kernel's current settings.
   */
  readonly forwards?: boolean | undefined;
  /**
   * Which counters to send too, polled from a random moment on, in separate datagrams; of the devices of this network namespace. Defaults
   * to none.
   */
  readonly counters?: CounterOptions | undefined;
}

/**
 * How samples are sent by TCP.
 *
 * @category Export
 */
export interface StreamOptions {
  /**
   * How many bytes may wait for a collector that is slow, or that there is no connection to, from 131072 on. When they are full, whole
   * messages are dropped and their samples counted: the oldest while there is no connection, otherwise new ones. UDP does not use it.
   * Defaults to 4194304.
   */
  spoolBytes?: number | undefined;
}

/**
 * How to {@linkcode ipfixTo}.
 *
 * @category Export
 */
export interface IpfixToOptions extends Omit<IpfixPacketOptions, "transport">, ExportOptions, StreamOptions, NetnsOptions {}

/**
 * How to {@linkcode ipfixFlowsTo}.
 *
 * @category Export
 */
export interface IpfixFlowsToOptions extends Omit<IpfixFlowOptions, "transport">, ExportOptions, StreamOptions, NetnsOptions {}

/**
 * A sink that sends samples to an sFlow collector, for {@linkcode pump}: as flow samples of sFlow version 5, by UDP.
 *
 * A sample waits for at most a second. What cannot be sent is dropped and counted, and never delays anything else. A host name is looked up
 * now, and again whenever sending fails; on Deno that requires net access, addresses do not.
 *
 * With {@linkcode SflowToOptions.counters} it also sends the counters of devices and of the host, without any privilege.
 *
 * @example Send what is sampled to a collector, for a second
 * ```ts ignore
 * import { listen, pump, sflowTo, watchLinks } from "@psample/psample";
 *
 * const sink = await sflowTo("192.0.2.9", { agent: "192.0.2.1", onProblem: (error) => console.error(error.message) });
 * const source = await listen({ events: false, devices: await watchLinks() });
 * await pump(source, [], [sink], { durationMs: 1000 });
 * console.log(sink.datagrams.sent, "datagrams sent,", sink.skipped, "samples dropped");
 * ```
 *
 * @example Send the counters of the device eth0 and of the host too, at least every ten seconds
 * ```ts ignore
 * import { listen, pump, sflowTo, watchLinks } from "@psample/psample";
 *
 * const counters = { devices: ({ name }: { name: string }) => name === "eth0", intervalMs: 10_000 };
 * const source = await listen({ events: false, devices: await watchLinks() });
 * const { sinks: [sent] } = await pump(source, [], [await sflowTo("192.0.2.9", { agent: "192.0.2.1", counters })], { durationMs: 1000 });
 * console.log(sent!.written, "samples sent");
 * ```
 *
 * @param target The collector: `"192.0.2.9"`, `"[2001:db8::9]:6343"`, `"[fe80::9%eth0]"`, `"collector.example.net"`, `"udp:192.0.2.9"`. The
 * port defaults to 6343.
 * @throws {ArgumentError} if the target or an option is invalid, or the machine has no address to be known by.
 * @throws {LookupError} if the host name certainly has no address: if no name server answers, that is reported as a problem, and retried.
 * @throws {SystemError} if no socket can be opened, or nothing can ever be reached at this address.
 * @category Export
 */
export async function sflowTo(target: string, options: SflowToOptions = {}): Promise<ExportSink<SflowEncoder>> {
  return await sflowToWith(await open(options), target, options);
}

/** {@linkcode sflowTo} on a given seam; with a poller that others may share. */
export async function sflowToWith(
  sys: Sys,
  target: string,
  options: SflowToOptions = {},
  shared?: CounterPoller,
): Promise<DatagramSink<SflowEncoder>> {
  const { maxDatagramBytes = MAX_DATAGRAM_BYTES, counters, onProblem } = options;
  const { transport, host } = splitTransport(target);
  if (transport === "tcp") {
    throw new ArgumentError(
      `Cannot send sFlow to ${JSON.stringify(target)}: sFlow has no form for a stream (its standard is about datagrams); use IPFIX for TCP`,
    );
  }
  const agent = options.agent ?? await agentAddress(sys);
  if (agent === undefined) {
    const none = "this machine has no address that collectors could know it by";
    throw new ArgumentError(`Cannot export sFlow: ${none}; set \`agent\` to one`, {
      why: `is required: ${none}`,
      argument: "agent",
    });
  }
  const forwards = options.forwards ?? await forwardsPackets(sys);
  const own = shared ? undefined : counters && await CounterPoller.open(sys, { ...counters, onProblem });
  let sink: DatagramSink<SflowEncoder> | undefined;
  try {
    sink = await DatagramSink.open(sys, host, {
      ...options,
      protocol: "sFlow",
      defaultPort: SFLOW_PORT,
      maxDatagramBytes,
      encoder: (datagrams, send) => new SflowEncoder(datagrams, send, { ...options, agent, forwards, maxDatagramBytes }),
      onClose: () => {
        shared?.leave(sink);
        own?.close();
      },
    });
  } catch (error) {
    own?.close();
    throw error;
  }
  (shared ?? own)?.feed(sink);
  return sink;
}

/**
 * A sink that sends samples to an IPFIX collector, for {@linkcode pump}: each as a packet report (PSAMP, RFC 5476), by UDP or TCP.
 *
 * By UDP it sends as {@linkcode sflowTo} does. By TCP (RFC 7011, section 10.4) it keeps a connection, and opens a new one whenever it has
 * ended: nothing is delayed meanwhile, and a bounded amount waits ({@linkcode StreamOptions.spoolBytes}). The port defaults to 4739.
 *
 * @example Send what is sampled to a collector, for a second
 * ```ts ignore
 * import { ipfixTo, listen, pump, watchLinks } from "@psample/psample";
 *
 * const source = await listen({ events: false, devices: await watchLinks() });
 * const { sinks: [sent] } = await pump(source, [], [ipfixTo("192.0.2.9", { domain: 7 })], { durationMs: 1000 });
 * console.log(sent!.written, "samples sent,", sent!.skipped, "dropped");
 * ```
 *
 * @param target The collector, as for {@linkcode sflowTo}, or `"tcp:192.0.2.9"`, `"tcp:[2001:db8::9]:4739"`.
 * @throws {ArgumentError} if the target or an option is invalid.
 * @throws {LookupError} if the host name certainly has no address: if no name server answers, that is reported as a problem, and retried.
 * @throws {SystemError} if no socket can be opened, or nothing can ever be reached at this address.
 * @category Export
 */
export async function ipfixTo(target: string, options: IpfixToOptions = {}): Promise<ExportSink<IpfixPacketEncoder>> {
  return await ipfixToWith(await open(options), target, options);
}

/** {@linkcode ipfixTo} on a given seam. */
export async function ipfixToWith(sys: Sys, target: string, options: IpfixToOptions = {}): Promise<ExportSink<IpfixPacketEncoder>> {
  return await openIpfix(IpfixPacketEncoder, sys, target, options);
}

/**
 * A sink that sends flow records to an IPFIX collector, for {@linkcode pump}: samples are added up by addresses, ports, interfaces and the
 * like, for collectors that do not read packets. A flow is reported at least every 10 seconds, and when it has been idle for 5.
 *
 * It sends as {@linkcode ipfixTo} does. The port defaults to 4739.
 *
 * @throws {ArgumentError} if the target or an option is invalid.
 * @throws {LookupError} if the host name certainly has no address: if no name server answers, that is reported as a problem, and retried.
 * @throws {SystemError} if no socket can be opened, or nothing can ever be reached at this address.
 * @category Export
 */
export async function ipfixFlowsTo(target: string, options: IpfixFlowsToOptions = {}): Promise<ExportSink<IpfixFlowEncoder>> {
  return await ipfixFlowsToWith(await open(options), target, options);
}

/** {@linkcode ipfixFlowsTo} on a given seam. */
export async function ipfixFlowsToWith(
  sys: Sys,
  target: string,
  options: IpfixFlowsToOptions = {},
): Promise<ExportSink<IpfixFlowEncoder>> {
  return await openIpfix(IpfixFlowEncoder, sys, target, options);
}

/** A sink with an encoder of this kind. */
async function openIpfix<Encoder extends DatagramEncoder, Options extends IpfixOptions & ExportOptions & StreamOptions>(
  Encoder: new (datagrams: Datagrams, send: SendDatagrams, options: Options) => Encoder,
  sys: Sys,
  target: string,
  options: Options,
): Promise<ExportSink<Encoder>> {
  const { maxDatagramBytes = MAX_DATAGRAM_BYTES, spoolBytes = STREAM_SPOOL_BYTES } = options;
  if (!Number.isSafeInteger(spoolBytes) || spoolBytes < LEAST_SPOOL_BYTES) {
    throw refused("spoolBytes", `${spoolBytes} is not a whole number from ${LEAST_SPOOL_BYTES} on`);
  }
  const { transport, host } = splitTransport(target);
  const common = {
    ...options,
    protocol: "IPFIX",
    defaultPort: IPFIX_PORT,
    maxDatagramBytes,
    encoder: (datagrams: Datagrams, send: SendDatagrams) =>
      new Encoder(datagrams, send, { refreshPhase: Math.random(), random: Math.random, ...options, transport, maxDatagramBytes }),
  };
  return transport === "tcp" ? await StreamSink.open(sys, host, { ...common, spoolBytes }) : await DatagramSink.open(sys, host, common);
}
