/**
 * A batch: what one read of a source returned, with everything known about it.
 *
 * It is borrowed. The objects in it are reused as soon as the source is asked for the next one, so a sink copies
 * what it keeps into memory of its own.
 *
 * @module
 */
import { type Device, type Devices, NO_DEVICES } from "../link/device.ts";
import { linkTypeOfSample } from "../link/link_type.ts";
import { PacketView } from "../packet/packet_view.ts";
import type { GroupEvent } from "../psample/group.ts";
import type { SampleView } from "../psample/sample_view.ts";
import type { Clock } from "./clock.ts";
import { producerKey } from "./producer.ts";

/**
 * A sample that is lent, or a group event.
 *
 * @category Pump
 */
export type EntryView = SampleView | GroupEvent;

/**
 * What one read of a source returned. Valid until the next batch is requested from the source.
 *
 * @category Pump
 */
export interface Batch {
  /** Samples and group events in the order of arrival, the first {@linkcode Batch.count} of them. */
  readonly entries: readonly EntryView[];
  /** Number of entries. */
  readonly count: number;
  /** Number of samples among the entries. */
  readonly samples: number;
  /** Whether more data was already queued when this batch was read: flush buffered output when this is false. */
  readonly more: boolean;
  /** Whether the entries come from a recording: their times, devices and namespaces are another machine's. */
  readonly recorded: boolean;
  /** When the batch was read, in nanoseconds since 1970. */
  readonly readAtNs: bigint;
  /** Samples that this batch shows to be lost for certain: for all entries together, including those that a stage left out. */
  readonly lost: number;
  /** Messages that the kernel dropped since the previous batch because the receive buffer was full. */
  readonly dropped: number;
  /**
   * When entry `i` was sampled, in nanoseconds since 1970: its own time stamp, else that of its record, else when it was read. If
   * {@linkcode Batch.hasTime} is false, that of the one before it in the recording, or 0: so the order stays.
   */
  timeNs(i: number): bigint;
  /** Whether it is known when entry `i` was sampled. A recording may contain packets without a time: pcapng's simple packets. */
  hasTime(i: number): boolean;
  /** Splits {@linkcode Batch.timeNs} of entry `i` on `clock`, without a big integer. */
  readTime(i: number, clock: Clock): void;
  /**
   * Samples of the same group and producer that are certain to be lost between entry `i` and the previous one of them; negative for a late
   * sample that had been counted as lost. `undefined` if its producer does not number samples, or a filter in the kernel chose among them.
   * Entries that a stage left out are not lost, and losses that they showed are not forgotten: the next entry of the same group reports
   * them, or the next entry of any group if more than 4096 have unreported losses.
   */
  lostBefore(i: number): number | undefined;
  /** The device that entry `i` was sampled on: on egress the one that it leaves by. */
  device(i: number): Device | undefined;
  /**
   * The headers of entry `i`: decoded when first asked for, once for all stages and sinks. Group events and samples without data have none.
   */
  packet(i: number): PacketView;
  /** The devices of the machine that entry `i` comes from. A recording may contain samples of several machines. */
  devicesOf(i: number): Devices;
}

/** Where a recorded packet was sampled, as far as the recording shows it. */
export interface RecordedPlace {
  /** The device. */
  readonly device: Device | undefined;
  /** All devices of that machine. */
  readonly devices: Devices;
}

/** Index of the device that a sample was sampled on: on egress the packet already has the form of the output device. */
export function sampledIfindex(
  sample: { readonly inIfindex: number | undefined; readonly outIfindex: number | undefined },
): number | undefined {
  return sample.outIfindex ?? sample.inIfindex;
}

const NO_DATA = new Uint8Array(0);

/** Stands for "does not number samples" among the losses. */
const UNNUMBERED = -0x8000_0000;

/** A batch that a source fills, again and again. */
export class BatchBuffer implements Batch {
  readonly entries: EntryView[] = [];
  samples = 0;
  more = false;
  recorded = false;
  readAtNs = 0n;
  lost = 0;
  dropped = 0;
  /** Whether {@linkcode BatchBuffer.lostBefore} is other than 0 for any entry. */
  hasLosses = false;
  /** The devices of this machine, unless entries are {@linkcode BatchBuffer.recordedOn} others. */
  devices: Devices = NO_DEVICES;
  #lostBefore = new Int32Array(1024);
  /** Times of records, which only recordings have: pairs of seconds and nanoseconds. */
  #times = new Float64Array(0);
  /** The last time of a record. */
  #lastSeconds = 0;
  #lastNanoseconds = 0;
  /** Entries whose records have no time. */
  readonly #timeless = new Set<number>();
  /** Whether any record has had a time so far. */
  #hasLast = false;
  /** Where packets were recorded, which only recordings of packets have. */
  readonly #places: (RecordedPlace | undefined)[] = [];

  /** Devices, and the batch in which each of them was looked up. */
  readonly #devices: (Device | undefined)[] = [];
  readonly #foundFor: number[] = [];
  /** Decoded packets, reused for each batch, and the batch for which each of them was decoded last. */
  readonly #packets: PacketView[] = [];
  readonly #decodedFor: number[] = [];
  /** The whole memory of the packet decoded last, which is nearly always that of the next one too. */
  #memory: Uint8Array = NO_DATA;
  #number = 0;

  get count(): number {
    return this.entries.length;
  }

  /** Forgets all entries. */
  clear(): void {
    this.#number++;
    this.entries.length = 0;
    this.#places.length = 0;
    this.#timeless.clear();
    this.samples = 0;
    this.more = false;
    this.lost = 0;
    this.dropped = 0;
    this.hasLosses = false;
  }

  /** Adds an entry, with its {@linkcode Batch.lostBefore}. */
  add(entry: EntryView, lostBefore: number | undefined = entry.type === "sample" ? undefined : 0): void {
    const i = this.entries.length;
    if (i === this.#lostBefore.length) {
      const larger = new Int32Array(2 * i);
      larger.set(this.#lostBefore);
      this.#lostBefore = larger;
    }
    this.entries.push(entry);
    this.#lostBefore[i] = lostBefore ?? UNNUMBERED;
    if (lostBefore) {
      this.lost += lostBefore;
      this.hasLosses = true;
    }
    if (entry.type === "sample") this.samples++;
  }

  /** Sets the time of the record that the last added entry came from; NaN seconds if it has none. */
  recordedAt(seconds: number, nanoseconds: number): void {
    const at = 2 * (this.entries.length - 1);
    if (at + 2 > this.#times.length) {
      const larger = new Float64Array(Math.max(2048, 2 * this.#times.length));
      larger.set(this.#times);
      this.#times = larger;
    }
    if (Number.isNaN(seconds)) {
      this.#timeless.add(at / 2);
    } else {
      this.#lastSeconds = seconds;
      this.#lastNanoseconds = nanoseconds;
      // Group events usually come before the first packet, whose time is then the nearest.
      if (!this.#hasLast) {
        for (let before = 0; before < at; before += 2) {
          if (this.entries[before / 2]!.type === "sample") continue;
          this.#times[before] = seconds;
          this.#times[before + 1] = nanoseconds;
        }
      }
      this.#hasLast = true;
    }
    this.#times[at] = this.#lastSeconds;
    this.#times[at + 1] = this.#lastNanoseconds;
  }

  /** Sets where the last added entry was recorded. */
  recordedOn(place: RecordedPlace | undefined): void {
    this.#places[this.entries.length - 1] = place;
  }

  timeNs(i: number): bigint {
    const entry = this.entries[i]!;
    const own = entry.type === "sample" ? entry.timestampNs : undefined;
    if (own !== undefined) return own;
    if (!this.recorded) return this.readAtNs;
    return BigInt(this.#times[2 * i]!) * 1_000_000_000n + BigInt(this.#times[2 * i + 1]!);
  }

  hasTime(i: number): boolean {
    if (this.#timeless.size === 0 || !this.#timeless.has(i)) return true;
    const entry = this.entries[i]!;
    return entry.type === "sample" && entry.timestampNs !== undefined;
  }

  readTime(i: number, clock: Clock): void {
    const entry = this.entries[i]!;
    if (entry.type === "sample" && clock.splitTimestamp(entry)) return;
    if (this.recorded) clock.set(this.#times[2 * i]!, this.#times[2 * i + 1]!);
    else clock.split(this.readAtNs);
  }

  lostBefore(i: number): number | undefined {
    const lost = this.#lostBefore[i]!;
    return lost === UNNUMBERED ? undefined : lost;
  }

  device(i: number): Device | undefined {
    if (this.#foundFor[i] === this.#number) return this.#devices[i];
    this.#foundFor[i] = this.#number;
    return this.#devices[i] = this.#find(i);
  }

  #find(i: number): Device | undefined {
    const device = this.#places[i]?.device;
    if (device !== undefined) return device;
    const entry = this.entries[i]!;
    const ifindex = entry.type === "sample" ? sampledIfindex(entry) : undefined;
    return ifindex === undefined ? undefined : this.devicesOf(i).find(ifindex, (entry as SampleView).nsid);
  }

  devicesOf(i: number): Devices {
    return this.#places[i]?.devices ?? this.devices;
  }

  packet(i: number): PacketView {
    const packet = this.#packets[i] ??= new PacketView();
    if (this.#decodedFor[i] === this.#number) return packet;
    this.#decodedFor[i] = this.#number;
    const entry = this.entries[i]!;
    if (entry.type !== "sample" || entry.dataOffset < 0) {
      return packet.decode(NO_DATA, 0, 0, "ethernet", entry.type === "sample" ? entry.originalBytes : 0);
    }
    const first = linkTypeOfSample(this.device(i)?.type, entry);
    const { dataMemory, dataAt } = entry;
    if (dataMemory !== this.#memory.buffer) this.#memory = new Uint8Array(dataMemory);
    return packet.decode(this.#memory, dataAt, dataAt + entry.dataBytes, first, entry.originalBytes);
  }
}

const NOTHING: Batch = new BatchBuffer();

/** Maximum number of producers whose unreported losses are kept apart: a machine has a few, but anybody can make up more. */
const MOST_UNTOLD = 4096;

/** Some entries of a batch, in their order: those that a stage lets through. Copies none of them. */
export class Selection implements Batch {
  readonly entries: EntryView[] = [];
  samples = 0;
  #batch: Batch = NOTHING;
  #picked = new Uint32Array(1024);
  /** The entry after the last one picked. */
  #next = 0;
  /** Whether losses of left-out entries must be looked for. */
  #loses = false;
  /** Losses shown by left-out entries, by producer, and not yet reported by an entry that was let through. */
  readonly #untold = new Map<string | number, number>();
  /** The same for producers beyond {@linkcode MOST_UNTOLD}: the next sample let through reports them, whatever its group. */
  #untoldOfOthers = 0;
  /** Losses that picked entries report besides their own; empty if there are none. */
  #more: number[] = [];

  /** Empties the selection, to pick from `batch`. */
  from(batch: Batch): void {
    this.#batch = batch;
    this.entries.length = 0;
    this.samples = 0;
    this.#next = 0;
    const hasLosses = batch instanceof BatchBuffer || batch instanceof Selection ? batch.hasLosses : true;
    this.#loses = hasLosses || this.#untold.size > 0 || this.#untoldOfOthers !== 0;
    if (this.#more.length > 0) this.#more = [];
  }

  /** Call it after the last pick: entries after that are left out too. */
  finish(): void {
    if (this.#loses) this.#leaveOut(this.#batch.count);
  }

  #leaveOut(end: number): void {
    const { entries } = this.#batch;
    for (let i = this.#next; i < end; i++) {
      const lost = this.#batch.lostBefore(i);
      if (!lost) continue;
      this.#keep(producerOf(entries[i]!), lost);
    }
    this.#next = end;
  }

  #keep(key: string | number, lost: number): void {
    const untold = this.#untold;
    untold.set(key, (untold.get(key) ?? 0) + lost);
    if (untold.size <= MOST_UNTOLD) return;
    const [oldest, its] = untold.entries().next().value!;
    this.#untoldOfOthers += its;
    untold.delete(oldest);
  }

  /** Lets entry `i` of the batch through. */
  pick(i: number): void {
    const entry = this.#batch.entries[i]!;
    const at = this.entries.length;
    if (this.#loses) {
      this.#leaveOut(i);
      this.#next = i + 1;
      if (this.#untold.size > 0 && entry.type === "sample" && this.#batch.lostBefore(i) !== undefined) {
        const key = producerOf(entry);
        const more = (this.#untold.get(key) ?? 0) + this.#untoldOfOthers;
        if (more !== 0) this.#more[at] = more;
        this.#untold.delete(key);
        this.#untoldOfOthers = 0;
      }
    }
    if (at === this.#picked.length) {
      const larger = new Uint32Array(2 * at);
      larger.set(this.#picked);
      this.#picked = larger;
    }
    this.#picked[at] = i;
    this.entries.push(entry);
    if (entry.type === "sample") this.samples++;
  }

  /** Whether {@linkcode Selection.lostBefore} may be other than 0 for any entry. */
  get hasLosses(): boolean {
    return this.#loses;
  }
  get count(): number {
    return this.entries.length;
  }
  get more(): boolean {
    return this.#batch.more;
  }
  get recorded(): boolean {
    return this.#batch.recorded;
  }
  get readAtNs(): bigint {
    return this.#batch.readAtNs;
  }
  get lost(): number {
    return this.#batch.lost;
  }
  get dropped(): number {
    return this.#batch.dropped;
  }
  timeNs(i: number): bigint {
    return this.#batch.timeNs(this.#picked[i]!);
  }
  hasTime(i: number): boolean {
    return this.#batch.hasTime(this.#picked[i]!);
  }
  readTime(i: number, clock: Clock): void {
    this.#batch.readTime(this.#picked[i]!, clock);
  }
  lostBefore(i: number): number | undefined {
    const lost = this.#batch.lostBefore(this.#picked[i]!);
    const more = this.#more[i];
    return more === undefined || lost === undefined ? lost : lost + more;
  }
  device(i: number): Device | undefined {
    return this.#batch.device(this.#picked[i]!);
  }
  packet(i: number): PacketView {
    return this.#batch.packet(this.#picked[i]!);
  }
  devicesOf(i: number): Devices {
    return this.#batch.devicesOf(this.#picked[i]!);
  }
}

function producerOf({ group, nsid, portId }: EntryView): string | number {
  return producerKey(group, nsid, portId);
}
