/**
 * The ledger: what was received and what was lost, in all and by producer.
 *
 * @module
 */
import type { GroupEvent } from "../psample/group.ts";
import type { SampleFields } from "../psample/sample.ts";
import type { GroupStats, ListenStats, OtherStats } from "../stream/stats.ts";
import { producerKey } from "../stream/producer.ts";
import { Numbering } from "./numbering.ts";

/** Numbers the samples of a group: the kernel, in each network namespace, or a process, by port id. */
interface Producer {
  readonly group: number | undefined;
  readonly nsid: number | undefined;
  readonly portId: number;
  received: number;
  /** Whether the samples are numbered. */
  numbered: boolean;
  numbering: Numbering;
  /** How many of the losses by number are among those that the socket dropped. */
  explained: number;
  /** The group was deleted. */
  ended: boolean;
  /** The ledger's number of samples when the last one of this producer arrived. */
  lastAt: number;
}

/** What a ledger knows of its source. */
export interface LedgerOptions {
  /**
   * Every sample of every group is either received or lost: so numbers missing before the first sample of a new group, and after the last
   * one of a deleted group, are losses too.
   */
  complete?: boolean | undefined;
  /** Samples were left out before anybody could count them, so gaps in the numbers mean nothing. Defaults to false. */
  filtered?: boolean | undefined;
  /** Reads the socket's drop counter, a u32 that wraps. */
  readDrops?: (() => number) | undefined;
}

/**
 * Maximum number of producers told apart; the kernel in the listener's own namespace has room for as many groups. In other namespaces
 * anybody may be root, and can make up groups without end.
 */
export const MOST_PRODUCERS = 4096;
/** A producer that sent none of this many samples can make room for another. */
const IDLE = 16 * MOST_PRODUCERS;

/** The sort key of samples without a group, and of the listener's own namespace. */
const NONE = -1;

/** Counts samples, events and losses as they arrive. Its memory is bounded, whatever is sent. */
export class Ledger {
  /** Samples received. */
  received = 0;
  /** Group events received. */
  events = 0;
  /** Messages of kinds that this package does not know. */
  unknown = 0;
  /** Messages that could not be decoded. */
  malformed = 0;
  /** Why the last malformed message was. */
  lastMalformed: string | undefined;
  /** Messages that the kernel dropped because the receive buffer was full. */
  dropped = 0;
  readonly #complete: boolean;
  readonly #filtered: boolean;
  readonly #readDrops: (() => number) | undefined;
  #counter = 0;
  /** Whether the counter has been read since the current read of the socket began. */
  #isCounted = false;
  /** Samples missing by their numbers. */
  #gaps = 0;
  /** Of the drops, those that gaps do not account for (yet). */
  #unexplained = 0;
  /** The kernel of the listener's own namespace: by group. */
  readonly #own = new Map<string | number, Producer>();
  /** All others. */
  readonly #foreign = new Map<string | number, Producer>();
  /** The sums of producers that are no longer told apart, or never were. */
  readonly #others: { -readonly [Name in keyof OtherStats]: OtherStats[Name] } = { received: 0, lost: 0, late: 0, duplicates: 0 };
  /** All that are told apart, in the order of {@linkcode ListenStats.groups}; made when needed. */
  #sorted: Producer[] | undefined;
  #sweptAt = -Infinity;
  /** The kernel numbers every group from 0: none of its groups is older than the ledger. */
  #fromZero = false;
  // Samples come in runs of one producer: checking the last one first is cheaper than a lookup.
  #current: Producer | undefined;

  /** A ledger of a source. */
  constructor(options: LedgerOptions = {}) {
    this.#complete = options.complete ?? false;
    this.#filtered = options.filtered ?? false;
    this.#readDrops = options.readDrops;
  }

  /** Samples that are certain to be lost: those missing by number, and the dropped ones that are not among these. */
  get lost(): number {
    return this.#gaps + this.#unexplained;
  }

  /** Begins a read of the socket. */
  begin(): void {
    this.#isCounted = false;
  }

  /**
   * Enters a sample.
   *
   * @returns How many more are missing by number than before: negative if it is late and was counted as lost; `undefined` if its producer
   * numbers nothing.
   */
  sample(sample: SampleFields): number | undefined {
    this.received++;
    let producer = this.#current;
    if (
      producer === undefined || producer.group !== sample.group || producer.nsid !== sample.nsid || producer.portId !== sample.portId
    ) {
      producer = this.#producer(sample.group, sample.nsid, sample.portId);
      if (producer === undefined) {
        this.#others.received++;
        return undefined;
      }
    }
    producer.received++;
    if (this.#filtered) {
      producer.numbered = false;
      return undefined;
    }
    const { sequence } = sample;
    const { numbering } = producer;
    if (sequence !== numbering.expected || sequence === undefined) return this.#number(producer, sequence, sample.rateIsProbability);
    numbering.expected = (sequence + 1) >>> 0;
    producer.numbered = true;
    return 0;
  }

  /** Records a sample of a recording that contains the number of losses before it; `undefined` if its producer numbers nothing. */
  told(sample: SampleFields, lost: number | undefined): number | undefined {
    this.received++;
    let producer = this.#current;
    if (
      producer === undefined || producer.group !== sample.group || producer.nsid !== sample.nsid || producer.portId !== sample.portId
    ) {
      producer = this.#producer(sample.group, sample.nsid, sample.portId);
      if (producer === undefined) {
        this.#others.received++;
        return lost;
      }
    }
    producer.received++;
    producer.numbered = lost !== undefined;
    if (!lost) return lost;
    producer.numbering.lost += lost;
    this.#gaps += lost;
    return lost;
  }

  /** Takes losses back: a recording shows at its end that some samples were late. Returns how many could be taken back. */
  takeBack(late: number): number {
    let left = late;
    for (const { numbering } of this.#producers()) {
      const taken = Math.min(left, numbering.lost);
      numbering.lost -= taken;
      numbering.late += taken;
      left -= taken;
    }
    this.#gaps -= late - left;
    return late - left;
  }

  /** Records the drops that a recording contains. It does not show which gaps they account for, so they account for as many as they can. */
  recordedDrops(count: number): void {
    this.dropped += count;
    this.#unexplained = Math.max(0, this.dropped - this.#gaps);
  }

  /**
   * Records a group event: the numbers of a created group begin again, those of a deleted one have ended.
   *
   * @returns How many more are missing by number than before.
   */
  event(event: GroupEvent): number {
    this.events++;
    if (this.#filtered) return 0;
    const { group, nsid, portId, sequence } = event;
    const isNew = event.type === "group-created";
    // Any process of the namespace with CAP_NET_ADMIN can multicast an event, but only the kernel knows what happened to its groups.
    if (portId !== 0) return 0;
    const producer = isNew && this.#complete ? this.#producer(group, nsid, 0) : this.#find(group, nsid, 0);
    if (producer === undefined) return 0;
    producer.ended = !isNew;
    const { numbering } = producer;
    const { lost } = numbering;
    if (isNew) numbering.restart(sequence ?? 0);
    else if (this.#complete && sequence !== undefined && producer.numbered) numbering.end(sequence);
    if (numbering.lost !== lost) this.#changed(producer, numbering.lost - lost);
    return numbering.lost - lost;
  }

  /** Records that the psample module was unloaded: all groups of the kernel are gone, and new ones are numbered from 0. */
  unloaded(): void {
    this.#fromZero = this.#complete;
    for (const producer of this.#producers()) {
      if (producer.portId !== 0) continue;
      producer.ended = true;
      if (this.#complete) producer.numbering.restart(0);
    }
  }

  /** Records the present value of the socket's drop counter; returns true if it has changed. */
  drops(counter: number): boolean {
    const more = (counter - this.#counter) >>> 0;
    this.#counter = counter;
    this.#isCounted = true;
    this.dropped += more;
    this.#unexplained += more;
    return more > 0;
  }

  /** Records a message that could not be decoded. */
  malformedMessage(why: string): void {
    this.malformed++;
    this.lastMalformed = why;
  }

  /** The numbers so far. */
  stats(receiveBufferBytes: number): ListenStats {
    const groups: GroupStats[] = [];
    let { late, duplicates } = this.#others;
    this.#sorted ??= [...this.#producers()].sort(byNamespaceAndGroup);
    for (const { group, nsid, portId, received, numbered, numbering } of this.#sorted) {
      late += numbering.late;
      duplicates += numbering.duplicates;
      if (received === 0 && numbering.lost === 0) continue;
      groups.push({
        group,
        nsid,
        portId,
        received,
        lost: numbering.lost,
        late: numbering.late,
        duplicates: numbering.duplicates,
        restarts: numbering.restarts,
        numbered,
        contradictory: numbering.contradictory,
      });
    }
    return {
      received: this.received,
      events: this.events,
      lost: this.lost,
      gaps: this.#gaps,
      dropped: this.dropped,
      late,
      duplicates,
      malformed: this.malformed,
      lastMalformed: this.lastMalformed,
      unknown: this.unknown,
      filtered: this.#filtered,
      receiveBufferBytes,
      groups,
      others: { ...this.#others },
    };
  }

  /** Records a number that is not the expected one. */
  #number(producer: Producer, sequence: number | undefined, isProbability: boolean): number | undefined {
    const { numbering } = producer;
    // Open vSwitch numbers nothing, and sends 0 and the flag.
    if (sequence === undefined || (sequence === 0 && isProbability)) {
      if (producer.received === 1) producer.numbered = false;
      return undefined;
    }
    if (sequence === 0 && !producer.numbered) return undefined;
    if (sequence === 0 && numbering.expected === 1 && producer.received === 2) {
      // Nor does mlx5, which always sends 0: a second 0 shows it.
      producer.numbered = false;
      return undefined;
    }
    if (!producer.numbered) {
      // A producer that numbers its samples has taken over the group.
      producer.numbered = true;
      producer.numbering = new Numbering();
      producer.numbering.enter(sequence);
      return 0;
    }
    const { lost } = numbering;
    numbering.enter(sequence);
    const more = numbering.lost - lost;
    if (more !== 0) this.#changed(producer, more);
    return more;
  }

  /** Records that this many more are missing by number. Earlier drops of the socket are among them, as far as they suffice. */
  #changed(producer: Producer, more: number): void {
    this.#gaps += more;
    if (more > 0 && !this.#isCounted && this.#readDrops) this.drops(this.#readDrops());
    const explained = more > 0
      ? Math.min(more, this.#unexplained)
      // A late sample was not dropped.
      : Math.min(0, producer.numbering.lost - producer.explained);
    producer.explained += explained;
    this.#unexplained -= explained;
  }

  *#producers(): Generator<Producer> {
    yield* this.#own.values();
    yield* this.#foreign.values();
  }

  #find(group: number | undefined, nsid: number | undefined, portId: number): Producer | undefined {
    return this.#known(nsid, portId).get(producerKey(group, nsid, portId));
  }

  #known(nsid: number | undefined, portId: number): Map<string | number, Producer> {
    return nsid === undefined && portId === 0 ? this.#own : this.#foreign;
  }

  /** The producer of a sample; `undefined` if there are too many to tell it apart. */
  #producer(group: number | undefined, nsid: number | undefined, portId: number): Producer | undefined {
    const producer = this.#find(group, nsid, portId) ?? this.#add(group, nsid, portId);
    if (this.#current) this.#current.lastAt = this.received;
    this.#current = producer;
    return producer;
  }

  #add(group: number | undefined, nsid: number | undefined, portId: number): Producer | undefined {
    const known = this.#known(nsid, portId);
    if (known.size >= MOST_PRODUCERS && !this.#makeRoom(known)) return undefined;
    const producer: Producer = {
      group,
      nsid,
      portId,
      received: 0,
      numbered: true,
      numbering: new Numbering(),
      explained: 0,
      ended: false,
      lastAt: this.received,
    };
    if (this.#fromZero && portId === 0) producer.numbering.restart(0);
    this.#sorted = undefined;
    known.set(producerKey(group, nsid, portId), producer);
    return producer;
  }

  /** Forgets producers that are gone or idle, but keeps their sums; rarely, so that the cost per sample is negligible. */
  #makeRoom(known: Map<string | number, Producer>): boolean {
    if (this.received - this.#sweptAt < MOST_PRODUCERS) return false;
    this.#sweptAt = this.received;
    this.#sorted = undefined;
    for (const [key, producer] of known) {
      const { received, numbering, ended, lastAt } = producer;
      if (producer === this.#current || (!ended && this.received - lastAt < IDLE)) continue;
      this.#others.received += received;
      this.#others.lost += numbering.lost;
      this.#others.late += numbering.late;
      this.#others.duplicates += numbering.duplicates;
      known.delete(key);
    }
    return known.size < MOST_PRODUCERS;
  }
}

function byNamespaceAndGroup(a: Producer, b: Producer): number {
  return (a.nsid ?? NONE) - (b.nsid ?? NONE) || (a.group ?? NONE) - (b.group ?? NONE) || a.portId - b.portId;
}
