/**
 * The account of what was received and what was lost: pure arithmetic.
 *
 * @module
 */
import type { GroupEvent } from "../psample/group.ts";
import type { SampleFields } from "../psample/sample.ts";
import type { GroupStats, ListenStats } from "../stream/stats.ts";

/** A number this far behind is a straggler from another CPU; farther, the numbering began anew. */
const MOST_LATE = 1024;

interface Account {
  group: number | undefined;
  nsid: number | undefined;
  received: number;
  lost: number;
  late: number;
  restarts: number;
  numbered: boolean;
  /** The number expected next; -1 before the first sample. */
  next: number;
  /** The number of the last sample that seemed late; two in a row count upwards where the numbering began anew. */
  lastLate: number;
}

/** Counts samples and events as they come. */
export class Ledger {
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
  #drops = 0;
  readonly #accounts = new Map<string, Account>();
  // Samples come in runs of one group: looking there first saves building the key.
  #current: Account | undefined;

  /**
   * Enters a sample. How many more are missing than before it: below 0 where it came late and had been counted as lost;
   * `undefined` where its producer numbers nothing.
   */
  sample(sample: SampleFields): number | undefined {
    let account = this.#current;
    if (account === undefined || account.group !== sample.group || account.nsid !== sample.nsid) {
      account = this.#account(sample.group, sample.nsid);
    }
    account.received++;
    const { lost } = account;
    const { sequence } = sample;
    if (sequence === undefined) {
      account.numbered = false;
    } else if (sequence === account.next) {
      account.next = (sequence + 1) >>> 0;
      account.numbered = true;
    } else {
      this.#gap(account, sequence, sample.rateIsProbability);
    }
    return account.numbered ? account.lost - lost : undefined;
  }

  /** Enters a sample of a recording that says how many were lost before it; `undefined` if its producer numbers nothing. */
  told(sample: SampleFields, lost: number | undefined): number | undefined {
    let account = this.#current;
    if (account === undefined || account.group !== sample.group || account.nsid !== sample.nsid) {
      account = this.#account(sample.group, sample.nsid);
    }
    account.received++;
    account.numbered = lost !== undefined;
    account.lost += lost ?? 0;
    return lost;
  }

  /** Takes back losses of a recording that says at its end that some samples came late. Returns how many there were to take back. */
  takeBack(late: number): number {
    let left = late;
    for (const account of this.#accounts.values()) {
      const taken = Math.min(left, account.lost);
      account.lost -= taken;
      account.late += taken;
      left -= taken;
    }
    return late - left;
  }

  /** Enters a group event: the numbering of a new group begins at 0. */
  event(event: GroupEvent): void {
    this.events++;
    const account = this.#accounts.get(key(event.group, event.nsid));
    if (!account || event.type !== "group-created" || account.next < 0) return;
    account.restarts++;
    account.next = event.sequence ?? 0;
    account.lastLate = -1;
  }

  /** Enters the socket's drop counter, a u32 that wraps; true where it has moved. */
  drops(counter: number): boolean {
    const more = (counter - this.#drops) >>> 0;
    this.dropped += more;
    this.#drops = counter;
    return more > 0;
  }

  /** Enters a message that could not be decoded. */
  malformedMessage(why: string): void {
    this.malformed++;
    this.lastMalformed = why;
  }

  /** The account so far. */
  stats(receiveBufferBytes: number): ListenStats {
    const groups = [...this.#accounts.values()].map(({ next: _, lastLate: __, ...group }): GroupStats => group);
    groups.sort((a, b) => (a.nsid ?? -1) - (b.nsid ?? -1) || (a.group ?? -1) - (b.group ?? -1));
    return {
      received: groups.reduce((sum, group) => sum + group.received, 0),
      events: this.events,
      lost: groups.reduce((sum, group) => sum + group.lost, 0),
      dropped: this.dropped,
      malformed: this.malformed,
      lastMalformed: this.lastMalformed,
      unknown: this.unknown,
      receiveBufferBytes,
      groups,
    };
  }

  #account(group: number | undefined, nsid: number | undefined): Account {
    const name = key(group, nsid);
    let account = this.#accounts.get(name);
    if (!account) {
      account = { group, nsid, received: 0, lost: 0, late: 0, restarts: 0, numbered: true, next: -1, lastLate: -1 };
      this.#accounts.set(name, account);
    }
    return this.#current = account;
  }

  #gap(account: Account, sequence: number, unnumbered: boolean): void {
    // Producers that number nothing send 0 for ever: a second 0 in a row shows it, the flag of Open vSwitch at once.
    if (sequence === 0 && (unnumbered || account.next === 1 || !account.numbered)) {
      account.numbered = false;
      return;
    }
    const first = account.next < 0;
    if (first || !account.numbered) {
      // What was before the first sample is not this listener's to count.
      account.numbered = true;
      account.next = (sequence + 1) >>> 0;
      return;
    }
    const ahead = (sequence - account.next) >>> 0;
    const behind = (account.next - sequence) >>> 0;
    if (ahead < 0x80000000) {
      account.lost += ahead;
      account.next = (sequence + 1) >>> 0;
    } else if (behind <= MOST_LATE && account.lost > 0 && sequence !== 0 && sequence !== account.lastLate + 1) {
      account.late++;
      account.lost--;
      account.lastLate = sequence;
    } else {
      // Two stragglers that count upwards were none: the first belonged to the new numbering already.
      if (account.lastLate >= 0 && sequence === account.lastLate + 1) {
        account.late--;
        account.lost++;
      }
      account.restarts++;
      account.next = (sequence + 1) >>> 0;
      account.lastLate = -1;
    }
  }
}

function key(group: number | undefined, nsid: number | undefined): string {
  return `${nsid}/${group}`;
}
