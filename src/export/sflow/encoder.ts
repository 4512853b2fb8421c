/** The sFlow encoder: samples, counters and discarded packets into datagrams. */
import { ArgumentError } from "../../errors.ts";
import type { Device } from "../../link/device.ts";
import { type LinkType, linkTypeOfSample } from "../../link/link_type.ts";
import type { SampleView } from "../../psample/sample_view.ts";
import type { Batch } from "../../stream/batch.ts";
import type { DatagramEncoder, Datagrams, SendDatagrams } from "../datagrams.ts";
import { UnshownDrops } from "../unshown_drops.ts";
import { Agent } from "./agent.ts";
import { type HostCounters, type InterfaceCounters, writeHost, writeInterface } from "./counters.ts";
import { ADDRESS_BYTES, type Datagram, HEADER_BYTES } from "./datagram.ts";
import { type Discard, mostDiscardBytes, writeDiscard } from "./discard.ts";
import { FlowSamples, type Passage } from "./flow_sample.ts";
import { settingsOf, type SflowOptions, type SflowSettings } from "./options.ts";
import { ENTITY, HOST, IF_INDEX, type Source } from "./source.ts";
import { XdrWriter } from "./xdr.ts";

const COUNTERS_SAMPLE = 2;
const COUNTERS_SAMPLE_EXPANDED = 4;

/** The first ifIndex that needs the expanded form. */
const LARGE_INDEX = 1 << 24;
/** In the place of an input or output: the packet comes from the machine itself, or ends there. */
const INTERNAL = 0x3fff_ffff;

/** When time goes back by so much, the clock was set. */
const SET_BACK_NS = 1_000_000_000n;

/** Maximum number of namespaces and of sources that are told apart: a machine has fewer, but anybody can make up more. */
const MOST_AGENTS = 4096;
const MOST_SOURCES = 65_536;

/**
 * Encodes samples as datagrams of sFlow version 5. It does not touch a socket, and time is an argument.
 *
 * Flow samples are numbered for each interface, as are counters and discarded packets; datagrams are numbered for each agent. Losses of a
 * batch are the drops of the interface whose sample shows them.
 *
 * @category Export
 */
export class SflowEncoder implements DatagramEncoder {
  /** Samples of leaving packets that are not exported, because the packets passed a sampler when they arrived. */
  leftOut = 0;
  readonly #datagrams: Datagrams;
  readonly #send: SendDatagrams;
  readonly #settings: SflowSettings;
  readonly #flows: FlowSamples;
  readonly #own: Agent;
  /** Those of other namespaces. */
  readonly #agents = new Map<number, Agent>();
  /** Interfaces whose arriving packets are sampled, by namespace. */
  readonly #sampledInputs = new Map<number | undefined, ReadonlySet<number>>();
  readonly #passage: Passage = { source: 0, input: 0, output: 0 };
  #expanded: boolean;
  #turn = 0;
  #sourceCount = 0;
  readonly #drops = new UnshownDrops<Source>();
  #elapsedNs = 0n;
  /** The same in milliseconds, modulo 2^32. */
  #uptimeMs = 0;
  #lastNs: bigint | undefined;
  // Samples come in runs of one source: checking the last one first is cheaper than a lookup.
  #agent: Agent;
  #index = -1;
  #source: Source | undefined;

  /**
   * Makes an agent that has sent nothing yet.
   *
   * @param datagrams Where datagrams are gathered.
   * @param send Sends them.
   * @throws {ArgumentError} If an option is wrong.
   */
  constructor(datagrams: Datagrams, send: SendDatagrams, options: SflowOptions) {
    const settings = settingsOf(options);
    if (datagrams.bytes.length < settings.maxDatagramBytes) {
      throw new ArgumentError(`a datagram of ${settings.maxDatagramBytes} bytes does not fit into ${datagrams.bytes.length}`);
    }
    this.#datagrams = datagrams;
    this.#send = send;
    this.#settings = settings;
    this.#flows = new FlowSamples(settings);
    this.#expanded = settings.expanded;
    this.#lastNs = settings.startNs;
    this.#own = this.#agent = this.#makeAgent(undefined);
  }

  /**
   * Sets which interfaces have their arriving packets sampled too. A packet that came in by one of them was considered there, so its
   * samples on the way out are not exported: each would count it twice.
   *
   * Name interfaces with samplers in software only: hardware reports the output of a packet that it samples on arrival, so that such samples
   * look as if they were of leaving packets.
   *
   * @param nsid Their network namespace; `undefined` for the listener's own.
   */
  setSampledInputs(ifindexes: Iterable<number>, nsid?: number): void {
    this.#sampledInputs.set(nsid, new Set(ifindexes));
  }

  /**
   * Sets how many packets have reached the samplers of an interface since they were set up. From the first call on the pool follows these;
   * without a call, and after one with `undefined`, each sample counts as N packets.
   */
  setTrials(ifindex: number, total: bigint | undefined, nsid?: number): void {
    this.#sourceOf(this.#agentOf(nsid), IF_INDEX, ifindex).setTrials(total);
  }

  /** Whether a sample of this interface has been exported, or left out. */
  hasSampled(ifindex: number, nsid?: number): boolean {
    const source = (nsid === undefined ? this.#own : this.#agents.get(nsid))?.find(IF_INDEX, ifindex);
    return source !== undefined && source.isSampled;
  }

  take(batch: Batch): void {
    const { entries, count } = batch;
    this.#turn++;
    this.#tick(batch.readAtNs);
    this.#drops.begin(batch.dropped);
    for (let i = 0; i < count; i++) {
      const sample = entries[i]!;
      if (sample.type !== "sample") continue;
      const { nsid } = sample;
      const agent = nsid === this.#agent.nsid ? this.#agent : this.#agentOf(nsid);
      const device = batch.device(i);
      const passage = this.#passage;
      const linkType = linkTypeOfSample(device?.type, sample);
      this.#pass(batch, i, sample, device, linkType);
      const source = agent === this.#agent && passage.source === this.#index
        ? this.#source!
        : this.#sourceOf(agent, IF_INDEX, passage.source);
      source.usedAt = agent.usedAt = this.#turn;
      this.#agent = agent;
      this.#index = passage.source;
      this.#source = source;
      const lost = batch.lostBefore(i);
      this.#drops.see(source, lost);
      if (lost) source.lose(lost);
      if (sample.outIfindex !== undefined && this.#sampledInputs.get(nsid)?.has(passage.input)) {
        source.leaveOut();
        this.leftOut++;
        continue;
      }
      const { flows } = agent;
      const end = this.#flows.write(flows, batch, i, sample, linkType, source, passage, this.#expanded);
      if (flows.fits(end)) flows.add(end);
      else this.#carryOver(agent, flows, end);
    }
    this.#drops.end((source, samples) => source.lose(samples));
  }

  /**
   * Adds the counters of an interface.
   *
   * @param nowNs This machine's clock, in nanoseconds since 1970.
   * @param nsid Its network namespace; `undefined` for the listener's own.
   */
  interfaceCounters(ifindex: number, counters: InterfaceCounters, nowNs: bigint, nsid?: number): void {
    const { restarted = false } = counters;
    this.#counters(this.#agentOf(nsid), IF_INDEX, ifindex, restarted, nowNs, (xdr) => writeInterface(xdr, ifindex, counters));
  }

  /** Adds the counters of the host, which is a separate source. */
  hostCounters(counters: HostCounters, nowNs: bigint): void {
    const { restarted = false } = counters;
    this.#counters(this.#own, ENTITY, HOST, restarted, nowNs, (xdr) => writeHost(xdr, counters));
  }

  /** Adds a discarded packet. */
  discard(discard: Discard, nowNs: bigint): void {
    this.#tick(nowNs);
    const agent = this.#agentOf(discard.nsid);
    const source = this.#sourceOf(agent, IF_INDEX, discard.ifindex);
    source.discardSequence = (source.discardSequence + 1) >>> 0;
    const { headerBytes, maxDatagramBytes } = this.#settings;
    const most = Math.min(headerBytes, maxDatagramBytes - HEADER_BYTES - ADDRESS_BYTES - mostDiscardBytes(0));
    this.#add(agent, agent.discards, (xdr) => writeDiscard(xdr, source.discardSequence, most, discard));
  }

  flush(nowNs: bigint): void {
    this.#tick(nowNs);
    this.#completeAll();
    if (this.#datagrams.count > 0) this.#send(this.#datagrams);
  }

  end(nowNs: bigint): void {
    this.flush(nowNs);
  }

  announce(): void {
    // Each datagram explains itself.
  }

  /** Finds where a packet passed. */
  #pass(batch: Batch, i: number, sample: SampleView, device: Device | undefined, linkType: LinkType): void {
    const { inIfindex, outIfindex } = sample;
    const passage = this.#passage;
    if (outIfindex !== undefined) {
      passage.source = passage.output = device?.index ?? outIfindex;
      // The kernel remembers where a packet came in, unless it was made here.
      passage.input = inIfindex === undefined ? INTERNAL : batch.devicesOf(i).find(inIfindex, sample.nsid)?.index ?? inIfindex;
    } else {
      passage.source = passage.input = device?.index ?? inIfindex ?? 0;
      passage.output = inIfindex !== undefined && this.#endsHere(sample, device, linkType) ? INTERNAL : 0;
    }
    // The source is either of them, so these are all.
    if (!this.#expanded && (isLarge(passage.source) || isLarge(passage.input))) this.#expand();
  }

  /** Whether a packet that arrives is for the host itself, as far as it shows. */
  #endsHere(sample: SampleView, device: Device | undefined, linkType: LinkType): boolean {
    if (this.#settings.forwards) return false;
    return linkType === "raw-ip" || this.#flows.isAddressedTo(sample, device?.address);
  }

  #counters(agent: Agent, type: number, index: number, restarted: boolean, nowNs: bigint, write: (xdr: XdrWriter) => number): void {
    this.#tick(nowNs);
    const source = this.#sourceOf(agent, type, index);
    if (!this.#expanded && isLarge(index)) this.#expand();
    source.counterSequence = restarted ? 1 : (source.counterSequence + 1) >>> 0;
    this.#add(agent, agent.counters, (xdr) => {
      xdr.structure(this.#expanded ? COUNTERS_SAMPLE_EXPANDED : COUNTERS_SAMPLE, () => {
        xdr.u32(source.counterSequence);
        if (this.#expanded) {
          xdr.u32(type);
          xdr.u32(index);
        } else {
          xdr.u32(type * LARGE_INDEX + index);
        }
        const count = xdr.at;
        xdr.u32(0);
        const records = write(xdr);
        const { at } = xdr;
        xdr.at = count;
        xdr.u32(records);
        xdr.at = at;
      });
    });
  }

  /** Adds a sample to a datagram. */
  #add(agent: Agent, datagram: Datagram, write: (xdr: XdrWriter) => void): void {
    const xdr = new XdrWriter(datagram);
    write(xdr);
    if (datagram.fits(xdr.at)) datagram.add(xdr.at);
    else this.#carryOver(agent, datagram, xdr.at);
  }

  /** Completes a datagram without the sample after it, which ends before `end`: the next one begins with that. */
  #carryOver(agent: Agent, datagram: Datagram, end: number): void {
    this.#emit(agent, datagram);
    datagram.clearBefore(end);
  }

  #completeAll(): void {
    this.#complete(this.#own);
    for (const agent of this.#agents.values()) this.#complete(agent);
  }

  #complete(agent: Agent): void {
    for (const datagram of agent.begun) {
      this.#emit(agent, datagram);
      datagram.clear();
    }
  }

  #emit(agent: Agent, datagram: Datagram): void {
    agent.sequence = (agent.sequence + 1) >>> 0;
    datagram.finish(agent.sequence, this.#uptimeMs);
    const datagrams = this.#datagrams;
    const { end, count } = datagram;
    if (datagrams.lacks(end)) this.#send(datagrams);
    datagrams.bytes.set(datagram.written, datagrams.used);
    datagrams.complete(end, datagram === agent.flows ? count : 0, 0, agent.holdsCounters(datagram) ? count : 0);
  }

  /** From now on every sample has the form for large indexes, and no datagram contains both. */
  #expand(): void {
    this.#completeAll();
    this.#expanded = true;
  }

  /** Lets time pass. When the clock is set back, the uptime does not change: collectors would take a decrease for a restart. */
  #tick(nowNs: bigint): void {
    const last = this.#lastNs ??= nowNs;
    if (nowNs > last) {
      this.#elapsedNs += nowNs - last;
      this.#uptimeMs = Number(BigInt.asUintN(32, this.#elapsedNs / 1_000_000n));
    } else if (last - nowNs < SET_BACK_NS) {
      // A batch may have been read a little before the last flush.
      return;
    }
    this.#lastNs = nowNs;
  }

  #agentOf(nsid: number | undefined): Agent {
    if (nsid === undefined) return this.#own;
    let agent = this.#agents.get(nsid);
    if (!agent) {
      if (this.#agents.size >= MOST_AGENTS) this.#forgetAgents();
      agent = this.#makeAgent(nsid);
      this.#agents.set(nsid, agent);
    }
    agent.usedAt = this.#turn;
    return agent;
  }

  #makeAgent(nsid: number | undefined): Agent {
    const { address, addresses, subAgent, maxDatagramBytes, headerBytes } = this.#settings;
    const its = nsid === undefined ? undefined : addresses.get(nsid);
    const isSubAgent = nsid !== undefined && !its;
    return new Agent(nsid, its ?? address, isSubAgent ? (subAgent + 1 + nsid) >>> 0 : subAgent, maxDatagramBytes, headerBytes);
  }

  #sourceOf(agent: Agent, type: number, index: number): Source {
    let source = agent.find(type, index);
    if (!source) {
      if (this.#sourceCount >= MOST_SOURCES) this.#forgetSources();
      source = agent.enter(type, index);
      this.#sourceCount++;
    }
    source.usedAt = this.#turn;
    return source;
  }

  /** Forgets the half of the other namespaces that was not used for longest. Those that return are numbered from 1. */
  #forgetAgents(): void {
    const cut = median([...this.#agents.values()].map(({ usedAt }) => usedAt));
    for (const [nsid, agent] of this.#agents) {
      if (agent.usedAt > cut || agent === this.#agent) continue;
      this.#complete(agent);
      this.#agents.delete(nsid);
      this.#sourceCount -= agent.sources.size;
    }
  }

  /** Forgets the half of the sources that was not used for longest. */
  #forgetSources(): void {
    const all = [this.#own, ...this.#agents.values()].map(({ sources }) => sources);
    const cut = median(all.flatMap((sources) => [...sources.values()].map(({ usedAt }) => usedAt)));
    for (const sources of all) {
      for (const [key, source] of sources) if (source.usedAt <= cut && source !== this.#source) sources.delete(key);
    }
    this.#sourceCount = all.reduce((sum, { size }) => sum + size, 0);
  }
}

function isLarge(ifindex: number): boolean {
  return ifindex >= LARGE_INDEX && ifindex !== INTERNAL;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? -1;
}
