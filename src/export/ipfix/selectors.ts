import type { AnySample, SampleView } from "../../psample/sample_view.ts";
import type { Device } from "../../link/device.ts";
import type { Batch } from "../../stream/batch.ts";
import { jittered } from "../../stream/jitter.ts";
import { UnshownDrops } from "../unshown_drops.ts";
import { Accuracy, InterfaceName, Losses, SelectionSequence, Selector, SequenceReport } from "./announcements.ts";
import { Domain } from "./domain.ts";
import { ObservedPackets } from "./observed.ts";
import type { Complete, IpfixOptions } from "./options.ts";
import type { Outgoing } from "./outgoing.ts";

/** Maximum number of selection sequences: a machine has a few for each device, but anybody can make up more. */
const MOST_SEQUENCES = 65_536;
/** Maximum number of domains, each of which has a message. */
const MOST_DOMAINS = 256;
/** Sequences that were used last, by a hash of what tells them apart. */
const CACHED = 2048;
/** What is added to a group's number for each further selector of that group in a domain. */
const ANOTHER = 0x1_0000_0000;

/** The cookie of OVN's local sampling: an observation domain and a point in it, 32 bits each. */
const POINT_COOKIE_BYTES = 8;

/** A selection sequence with what tells it apart, and what is known of its devices. */
interface Found {
  readonly sequence: SelectionSequence;
  readonly known: Known;
  readonly group: number | undefined;
  readonly rate: number | undefined;
  readonly isProbability: boolean;
  readonly inIfindex: number | undefined;
  readonly outIfindex: number | undefined;
  readonly nsid: number | undefined;
  readonly portId: number;
  readonly cookieDomain: number;
  /** The device when it was looked at last, and when that was. */
  device: Device | undefined;
  round: number;
}

/** What belongs to a domain. */
interface Known {
  readonly domain: Domain;
  readonly losses: Losses;
  readonly accuracy: Accuracy | undefined;
  readonly names: Map<number, InterfaceName>;
  /** Selectors by what tells them apart, and how many of them each group has. */
  readonly selectors: Map<string, Selector>;
  readonly ofGroup: Map<number, number>;
  sequences: number;
}

/** The observation point that Open vSwitch names in a cookie; `undefined` for other samples. */
export function pointCookie(sample: AnySample): Uint8Array | undefined {
  // Only Open vSwitch samples with a probability.
  if (!sample.rateIsProbability) return undefined;
  const { cookie } = sample;
  return cookie?.length === POINT_COOKIE_BYTES ? cookie : undefined;
}

/** Finds the domain, the selector and the selection sequence of samples, and announces those that are new. */
export class Selectors {
  readonly #options: Complete<IpfixOptions>;
  readonly #out: Outgoing;
  readonly #scale: boolean;
  readonly #beforeForgetting: () => void;
  readonly #cache: (Found | undefined)[] = new Array(CACHED).fill(undefined);
  readonly #found = new Map<string, Found>();
  readonly #domains = new Map<string, Known>();
  /** Interfaces whose arriving packets are sampled, by namespace. */
  readonly #sampledInputs = new Map<number | undefined, ReadonlySet<number>>();
  /** What PSAMP's own reports say about the packets from which samples are selected, by namespace, interface and direction. */
  readonly #hooks = new Map<string, ObservedPackets>();
  #nextDomain: number;
  /** Number of all sequences ever. */
  #sequences = 0;
  readonly #drops = new UnshownDrops<Known>();
  /** Names are looked at again in each round. */
  #round = 0;
  #roundMs = 0;

  /**
   * @param scale Whether records are scaled already.
   * @param beforeForgetting Called before everything is forgotten because a producer made up too much of it.
   */
  constructor(options: Complete<IpfixOptions>, out: Outgoing, scale: boolean, beforeForgetting: () => void) {
    this.#options = options;
    this.#out = out;
    this.#scale = scale;
    this.#beforeForgetting = beforeForgetting;
    this.#nextDomain = options.domain;
  }

  /** {@linkcode DatagramEncoder.setSampledInputs} */
  setSampledInputs(ifindexes: Iterable<number>, nsid: number | undefined): void {
    this.#sampledInputs.set(nsid, new Set(ifindexes));
  }

  /** {@linkcode DatagramEncoder.setObserved} */
  setObserved(ifindex: number, direction: "ingress" | "egress", total: bigint, nsid: number | undefined): void {
    if (this.#options.strict) this.#hookOf(ifindex, direction === "egress", nsid).tell(total);
  }

  /** Whether another sample stands for the packet of this one: it passed a sampler when it arrived. */
  isLeftOut(sequence: SelectionSequence, nsid: number | undefined): boolean {
    if (!sequence.isEgress || this.#sampledInputs.size === 0) return false;
    return this.#sampledInputs.get(nsid)?.has(sequence.inIndex) ?? false;
  }

  /** Before the samples of a batch. */
  enter(batch: Batch): void {
    this.#drops.begin(batch.dropped);
  }

  /** After the samples of a batch. */
  leave(): void {
    this.#drops.end(({ losses }, samples) => losses.lost += samples);
  }

  /** Sets the time, and announces again what is due then. */
  tick(nowNs: bigint): void {
    this.#out.tick(nowNs);
    const passed = this.#out.nowMs - this.#roundMs;
    if (passed >= this.#options.templateRefreshMs || passed < 0) {
      this.#roundMs = this.#out.nowMs;
      this.#round++;
    }
    const keepsTemplates = this.#options.transport === "tcp";
    for (const { domain } of this.#domains.values()) domain.refresh(keepsTemplates);
  }

  /** Announces everything again. */
  announce(): void {
    for (const { domain } of this.#domains.values()) domain.announce();
  }

  /** Completes all messages and sends them. */
  flush(): void {
    this.#complete();
    this.#out.flush();
  }

  /** The selection sequence of a sample. */
  find(batch: Batch, i: number, sample: SampleView): SelectionSequence {
    const { group, rate, rateIsProbability, inIfindex, outIfindex, nsid, portId } = sample;
    const cookieDomain = this.#options.domains === "cookie" && rateIsProbability ? cookieDomainOf(sample) : 0;
    // Indexes and groups are small numbers that differ in a few bits: products by odd constants spread them over all of the hash.
    const hash = Math.imul(inIfindex ?? 0, 0x9e37_79b1) + Math.imul(outIfindex ?? 0, 0x85eb_ca77) + Math.imul(group ?? 0, 0xc2b2_ae3d) +
      Math.imul(rate ?? 0, 0x27d4_eb2f) + cookieDomain;
    const slot = (hash ^ hash >>> 15) & CACHED - 1;
    let found = this.#cache[slot];
    if (
      found === undefined || found.inIfindex !== inIfindex || found.outIfindex !== outIfindex || found.group !== group ||
      found.rate !== rate || found.isProbability !== rateIsProbability || found.nsid !== nsid || found.portId !== portId ||
      found.cookieDomain !== cookieDomain
    ) {
      found = this.#look(batch, i, sample, cookieDomain);
      this.#cache[slot] = found;
    }
    const device = batch.device(i);
    if (device !== found.device || this.#round !== found.round) this.#meet(batch, i, found, device);
    const { sequence, known } = found;
    sequence.selected++;
    const lost = batch.lostBefore(i);
    this.#drops.see(known, lost);
    if (lost) {
      known.losses.lost += lost;
      sequence.selected += lost;
    }
    if (known.accuracy && sample.timestampNs === undefined) known.accuracy.hasExactTimes = false;
    return sequence;
  }

  #look(batch: Batch, i: number, sample: SampleView, cookieDomain: number): Found {
    const { group, rate, rateIsProbability, inIfindex, outIfindex, nsid, portId } = sample;
    const of = `${nsid}/${portId}/${group}/${rate}/${rateIsProbability}/${cookieDomain}`;
    const key = `${of}/${inIfindex}/${outIfindex}`;
    const before = this.#found.get(key);
    if (before) return before;
    if (this.#found.size >= MOST_SEQUENCES) this.#forget();
    const oneIn = sample.oneIn || this.#options.oneIn;
    const known = this.#domainOf(nsid, oneIn, cookieDomain);
    const { domain } = known;
    let selector = known.selectors.get(of);
    if (!selector) {
      const number = group ?? 0;
      const others = known.ofGroup.get(number) ?? 0;
      known.ofGroup.set(number, others + 1);
      selector = new Selector(domain, number + others * ANOTHER, oneIn, this.#scale ? 1 : oneIn);
      known.selectors.set(of, selector);
      domain.stand(selector);
      if (known.selectors.size === 1) this.#introduce(known);
    }
    const sequence = new SelectionSequence(selector, ++known.sequences, ++this.#sequences, outIfindex !== undefined);
    const found: Found = {
      sequence,
      known,
      group,
      rate,
      isProbability: rateIsProbability,
      inIfindex,
      outIfindex,
      nsid,
      portId,
      cookieDomain,
      device: undefined,
      round: -1,
    };
    this.#found.set(key, found);
    this.#meet(batch, i, found, batch.device(i));
    if (this.#options.strict) {
      sequence.hook = this.#hookOf(sequence.isEgress ? sequence.outIndex : sequence.inIndex, sequence.isEgress, nsid);
      sequence.hook.sequences.push(sequence);
      domain.stand(new SequenceReport(sequence));
    }
    return found;
  }

  #hookOf(ifindex: number, isEgress: boolean, nsid: number | undefined): ObservedPackets {
    const key = `${nsid}/${ifindex}/${isEgress}`;
    let hook = this.#hooks.get(key);
    if (!hook) this.#hooks.set(key, hook = new ObservedPackets());
    return hook;
  }

  /** Looks at the devices, whose numbers are whole there, and at their names. */
  #meet(batch: Batch, i: number, found: Found, device: Device | undefined): void {
    const { sequence, inIfindex, outIfindex, nsid } = found;
    found.device = device;
    found.round = this.#round;
    if (outIfindex === undefined) {
      sequence.inIndex = this.#name(found, device, inIfindex);
      return;
    }
    sequence.outIndex = this.#name(found, device, outIfindex);
    if (inIfindex === undefined) return;
    sequence.inIndex = this.#name(found, batch.devicesOf(i).find(inIfindex, nsid), inIfindex);
  }

  #name({ known }: Found, device: Device | undefined, ifindex: number | undefined): number {
    const index = device?.index ?? ifindex ?? 0;
    if (!device?.name || index === 0) return index;
    const { domain, names } = known;
    let name = names.get(index);
    if (!name) names.set(index, name = new InterfaceName(index));
    if (name.rename(device.name)) domain.stand(name);
    return index;
  }

  /** After the first rate, what else belongs to a domain. */
  #introduce({ domain, losses, accuracy }: Known): void {
    domain.stand(losses);
    if (accuracy) domain.stand(accuracy);
  }

  #domainOf(nsid: number | undefined, oneIn: number, cookieDomain: number): Known {
    const { domains, strict, templateRefreshMs, refreshPhase, random } = this.#options;
    const key = cookieDomain !== 0 ? `cookie/${cookieDomain}` : domains === "rate" && !this.#scale ? `${nsid}/${oneIn}` : `${nsid}`;
    const before = this.#domains.get(key);
    if (before) return before;
    if (this.#domains.size >= MOST_DOMAINS) this.#forget();
    const id = cookieDomain !== 0 ? cookieDomain : this.#newDomain();
    // A cookie may name a domain that has been numbered before, or the other way round.
    const same = [...this.#domains.values()].find(({ domain }) => domain.id === id);
    const known = same ?? {
      domain: new Domain(id, this.#out, refreshPhase, () => jittered(templateRefreshMs, random)),
      losses: new Losses(),
      accuracy: strict ? new Accuracy() : undefined,
      names: new Map(),
      selectors: new Map(),
      ofGroup: new Map(),
      sequences: 0,
    };
    this.#domains.set(key, known);
    return known;
  }

  /** 0 is the whole process (RFC 7011, section 3.1). */
  #newDomain(): number {
    const id = this.#nextDomain;
    this.#nextDomain = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }

  #complete(): void {
    for (const { domain } of this.#domains.values()) domain.complete();
  }

  #forget(): void {
    this.#beforeForgetting();
    this.#complete();
    this.#cache.fill(undefined);
    this.#found.clear();
    this.#hooks.clear();
    this.#domains.clear();
  }
}

function cookieDomainOf(sample: SampleView): number {
  const cookie = pointCookie(sample);
  return cookie ? (cookie[0]! << 24 | cookie[1]! << 16 | cookie[2]! << 8 | cookie[3]!) >>> 0 : 0;
}
