/**
 * Interprets the sequence numbers of one producer: pure arithmetic.
 *
 * The kernel counts a group up without a lock (`group->seq++` in net/psample/psample.c), so on several processors numbers arrive out of
 * order, and now and then twice. They restart when the group is deleted and created again, or the module is loaded again; often only the
 * numbers themselves show that.
 *
 * @module
 */

/** How far behind a number may be and still count as late: with two processors 432 was seen, with more it is more. */
const WINDOW = 4096;
/** For this many samples the numbers before a restart are remembered, in case they continue after all. */
const DOUBT = 4096;
/** Maximum number of consecutive late numbers: each processor has one on its way, so this is generous. */
const MOST_LATE = 64;
/** Maximum number of consecutive duplicates. */
const MOST_AGAIN = 4;
/** This many late numbers in sequence, while others continue far ahead, mean a second producer. */
const TRAIL = 8;

/** What is known of a number that is behind: "unknown" is before the first one, "far" too far to be late. */
type Status = "missing" | "seen" | "unknown" | "far";

/** A run of consecutive numbers. */
class Run {
  /** The number expected next, u32. */
  next: number;
  /** Whether a number has arrived. */
  started = false;
  /** How many of the {@linkcode WINDOW} numbers before {@linkcode Run.next} are missing. */
  missing = 0;
  /** For how many numbers before {@linkcode Run.#knownAt} it is known whether they arrived; at most {@linkcode WINDOW}. */
  #known = 0;
  #knownAt: number;
  /** A bit for each number of the window, set if it is missing. Allocated when the first one is. */
  #bits: Uint32Array | undefined;

  constructor(next: number) {
    this.next = next;
    this.#knownAt = next;
  }

  /** How far a number is ahead; negative if it is behind. */
  ahead(sequence: number): number {
    return (sequence - this.next) | 0;
  }

  /** Whether a number is too far off to continue the run, or to be late. */
  isFar(sequence: number): boolean {
    const ahead = this.ahead(sequence);
    return ahead >= WINDOW || ahead < -WINDOW;
  }

  /** Takes a number that is the next, or less than {@linkcode WINDOW} ahead: those in between are missing. */
  take(sequence: number): void {
    this.skipTo(sequence);
    if (this.#bits !== undefined) this.#set(sequence, false);
    this.next = (sequence + 1) >>> 0;
    this.started = true;
  }

  /** Passes over numbers that are missing. */
  skipTo(sequence: number): void {
    if (sequence === this.next) return;
    const bits = this.#bits ??= new Uint32Array(WINDOW / 32);
    for (let number = this.next; number !== sequence;) {
      if ((number & 31) === 0 && (sequence - number) >>> 0 >= 32) {
        const word = (number % WINDOW) >>> 5;
        this.missing += 32 - bitsIn(bits[word]!);
        bits[word] = 0xffffffff;
        number = (number + 32) >>> 0;
      } else {
        this.#set(number, true);
        number = (number + 1) >>> 0;
      }
    }
    this.next = sequence;
  }

  /** What is known of a number that is behind. */
  status(sequence: number): Status {
    this.#learn();
    if (-this.ahead(sequence) > this.#known) return "unknown";
    if (this.#bits === undefined) return "seen";
    return (this.#bits[(sequence % WINDOW) >>> 5]! & 1 << (sequence & 31)) === 0 ? "seen" : "missing";
  }

  /** Records that a missing number has arrived, or takes that back. */
  mark(sequence: number, missing: boolean): void {
    this.#set(sequence, missing);
  }

  /** Catches up on what is known: while numbers arrive in order, nothing is recorded. */
  #learn(): void {
    this.#known = Math.min(WINDOW, this.#known + ((this.next - this.#knownAt) >>> 0));
    this.#knownAt = this.next;
  }

  #set(sequence: number, missing: boolean): void {
    const bits = this.#bits!;
    const word = (sequence % WINDOW) >>> 5;
    const bit = 1 << (sequence & 31);
    if (((bits[word]! & bit) !== 0) === missing) return;
    bits[word]! ^= bit;
    this.missing += missing ? 1 : -1;
  }
}

/** A doubt: the numbers seem to have restarted, but the earlier ones may still continue. */
interface Doubt {
  /** The earlier numbers; or, of two producers, those of the one that is not {@linkcode Numbering.#run}. */
  run: Run;
  /** Far ahead; behind, and counting up; or two producers that take turns. */
  reason: "leap" | "restart" | "two";
  /** How many samples have arrived since. */
  count: number;
  /** The first few of them. */
  readonly members: number[];
  /** What a leap counted as lost; and the leap before it, if nothing has followed that one. */
  readonly leap: number;
  /** The counts before. */
  readonly lost: number;
  readonly late: number;
  readonly duplicates: number;
}

/** The numbers of one producer in one group, and what follows from them. */
export class Numbering {
  /** A next number for which {@linkcode Numbering.enter} need not be called: then this becomes the one after it. -1 if there is none. */
  expected = -1;
  /** Numbers that are missing. */
  lost = 0;
  /** Numbers that arrived out of order. */
  late = 0;
  /** Numbers that arrived again. */
  duplicates = 0;
  /** How often the numbers restarted. */
  restarts = 0;
  /** Whether they contradict each other, as the numbers of two producers do: then {@linkcode Numbering.lost} is what is certain. */
  contradictory = false;
  /** `undefined` until it is known where the numbers begin. */
  #run: Run | undefined;
  #restarted = false;
  #doubt: Doubt | undefined;
  /** The latest numbers, as long as all are behind, and what was known of each. They may be a restart. */
  readonly #tail: number[] = [];
  readonly #tailStatus: Status[] = [];
  /** How many of them can be late; how many of the others count up, and the last one of those. */
  #missing = 0;
  #strange = 0;
  #lastStrange = -1;
  /** A single number that was far behind, and the number expected then. */
  #stray = -1;
  #strayAt = 0;
  /** Late numbers in sequence: the first, the last, and how often others came in between. */
  #trailStart = -1;
  #lastLate = -1;
  #turns = 0;

  /** Records the number of a sample, u32. */
  enter(sequence: number): void {
    let run = this.#current();
    if (run === undefined) {
      // Losses before the first sample are not ours to count.
      run = this.#run = new Run(sequence);
      run.take(sequence);
    } else {
      if (!run.started && this.#restarted) this.restarts++;
      this.#restarted = false;
      this.#enter(run, sequence);
      run = this.#run!;
    }
    const isPlain = run.missing === 0 && this.#doubt === undefined && this.#tail.length === 0;
    this.expected = isPlain ? run.next : -1;
  }

  /** Records that the numbers restart, and with which: numbers missing before the first sample are lost. */
  restart(next: number): void {
    this.#restarted ||= this.#current()?.started ?? false;
    this.#run = new Run(next);
    this.#forget();
  }

  /** Records that the numbers have ended, and which would have been the next. */
  end(next: number): void {
    const run = this.#current();
    const ahead = run === undefined ? 0 : run.ahead(next);
    if (ahead <= 0) return;
    this.lost += ahead;
    // So that one still on its way from another processor can be recognised as late.
    if (ahead < WINDOW) run!.skipTo(next);
    else this.#run = new Run(next);
    this.#forget();
  }

  #current(): Run | undefined {
    if (this.expected >= 0) this.#run!.next = this.expected;
    return this.#run;
  }

  #forget(): void {
    this.#doubt = undefined;
    this.#cutTail();
    this.#stray = this.#lastLate = -1;
    this.expected = -1;
  }

  #cutTail(): void {
    if (this.#tailStatus[0] === "far") {
      this.#stray = this.#tail[0]!;
      this.#strayAt = this.#run!.next;
    }
    this.#tail.length = this.#tailStatus.length = 0;
    this.#missing = this.#strange = 0;
  }

  #enter(run: Run, sequence: number): void {
    const ahead = run.ahead(sequence);
    const doubt = this.#doubt;
    if (ahead !== 0 && doubt !== undefined && this.#goesOn(run, doubt, sequence)) return this.#goOn(run, doubt, sequence);
    if (run.isFar(sequence)) return this.#far(run, sequence);
    if (ahead < 0) return this.#behind(run, sequence);
    this.#cutTail();
    this.#place(run, sequence);
    this.#remember(sequence);
  }

  #behind(run: Run, sequence: number): void {
    const status = run.status(sequence);
    if (status === "missing" && this.#trails(run, sequence)) return this.#separate(run, sequence);
    if (this.#tail.length > 0 && run.isFar(this.#tail[0]!)) this.#cutTail();
    if (this.#beginsAgain(sequence, status)) return this.#begin(run);
    this.#place(run, sequence);
    this.#remember(sequence);
  }

  /** Whether the last numbers are a restart: more than can arrive late or again consecutively. */
  #beginsAgain(sequence: number, status: Status): boolean {
    if (this.#doubt?.reason === "two") return false;
    const tail = this.#tail;
    const isLate = status === "missing";
    // A restart counts up. But there, too, one can be late.
    const before = this.#strange === 0 ? tail.at(-1) : isLate ? undefined : this.#lastStrange;
    const countsUp = before === undefined || isAfter(sequence, before);
    if (!countsUp && status !== "far") this.#cutTail();
    tail.push(sequence);
    this.#tailStatus.push(status);
    if (isLate) this.#missing++;
    else if (countsUp || this.#strange === 0) {
      this.#strange++;
      this.#lastStrange = sequence;
    }
    const strange = this.#strange;
    // A few can arrive again among those that are late.
    const isBeginning = this.#missing === 0 ? strange > 1 : strange > MOST_AGAIN || (strange > 2 && strange > tail.length / 2);
    return isBeginning || tail.length > MOST_LATE;
  }

  /** The numbers have restarted, with the tail. */
  #begin(run: Run): void {
    const tail = this.#tail.splice(0);
    // The last one was not counted yet.
    for (const [i, number] of tail.slice(0, -1).entries()) this.#account(run, number, this.#tailStatus[i]!, -1);
    this.#cutTail();
    const begun = new Run(tail[0]!);
    this.#change(run, begun, "restart", 0);
    this.restarts++;
    for (const number of tail) {
      this.#place(begun, number);
      this.#remember(number);
    }
  }

  /** Whether late numbers follow one another, as those of a second producer do. */
  #trails(run: Run, sequence: number): boolean {
    if (this.#lastLate < 0 || sequence !== (this.#lastLate + 1) >>> 0) {
      this.#turns = 0;
      this.#trailStart = sequence;
    }
    if (this.#tail.length === 0) this.#turns++;
    this.#lastLate = sequence;
    const trail = (sequence - this.#trailStart) >>> 0;
    if (this.#doubt !== undefined || trail < TRAIL) return false;
    // Those others may have come in between all along, or just before all of these.
    return this.#turns > 2 || (trail >= MOST_LATE && run.status((this.#trailStart - 1) >>> 0) === "seen");
  }

  /** What seemed late is a second producer, a little behind: numbers that it has not reached yet are not lost. */
  #separate(run: Run, sequence: number): void {
    const second = new Run(sequence);
    second.take(sequence);
    for (let number = sequence; run.ahead(number) < 0 && run.status(number) === "missing"; number = (number + 1) >>> 0) {
      run.mark(number, false);
      this.lost--;
    }
    this.#cutTail();
    this.#change(run, second, "two", 0);
    this.contradictory = true;
  }

  #far(run: Run, sequence: number): void {
    const ahead = run.ahead(sequence);
    const doubt = this.#doubt;
    const suspect = this.#tail.at(-1);
    if (doubt?.reason === "two") {
      // A third producer; or one of the two has restarted.
      doubt.run = run;
      this.#run = new Run(sequence);
      this.#run.take(sequence);
    } else if (suspect !== undefined && run.isFar(suspect) && !(ahead < 0 && isNear(sequence, suspect))) {
      // Far off, and then far off from there: these are not the numbers of one producer.
      this.#cutTail();
      if (doubt === undefined) this.#change(run, run, "two", 0);
      this.#contradict(this.#doubt!);
      this.#far(run, sequence);
    } else if (ahead < 0 && suspect === undefined && this.#stray >= 0 && isNear(sequence, this.#stray) && isNear(run.next, this.#strayAt)) {
      // Not the first one there, and the others have continued in between.
      const second = new Run(this.#stray);
      second.take(this.#stray);
      this.#change(run, second, "two", 0);
      this.contradictory = true;
      this.#place(second, sequence);
    } else if (ahead < 0) {
      if (suspect !== undefined && !run.isFar(suspect)) this.#cutTail();
      if (this.#beginsAgain(sequence, "far")) this.#begin(run);
    } else {
      this.#cutTail();
      const leapt = new Run(sequence);
      this.#change(run, leapt, "leap", ahead + (doubt?.reason === "leap" && doubt.count === 1 ? doubt.leap : 0));
      this.lost += ahead;
      leapt.take(sequence);
      this.#remember(sequence);
    }
  }

  #change(before: Run, now: Run, reason: Doubt["reason"], leap: number): void {
    const { lost, late, duplicates } = this;
    this.#run = now;
    this.#doubt = { run: before, reason, count: 0, members: [], leap, lost, late, duplicates };
  }

  #remember(sequence: number): void {
    const doubt = this.#doubt;
    if (doubt === undefined || doubt.reason === "two") return;
    if (doubt.members.length <= MOST_AGAIN) doubt.members.push(sequence);
    if (++doubt.count > DOUBT) this.#doubt = undefined;
  }

  /** Whether a number belongs to the earlier run, and not to `run`, of which it is not the next. */
  #goesOn(run: Run, { run: before, reason, count }: Doubt, sequence: number): boolean {
    if (before.isFar(sequence)) return false;
    const ahead = before.ahead(sequence);
    const isNew = ahead >= 0 || before.status(sequence) === "missing";
    if (run.isFar(sequence)) return isNew;
    const runAhead = run.ahead(sequence);
    // After so few it is nearer to the earlier ones: they had not restarted.
    if (reason !== "two") return reason === "restart" && count <= MOST_AGAIN && ahead >= 0 && ahead < runAhead;
    if (ahead >= 0) return runAhead < 0 ? run.status(sequence) !== "missing" : ahead < runAhead;
    return isNew && runAhead < 0 && run.status(sequence) !== "missing";
  }

  #goOn(run: Run, doubt: Doubt, sequence: number): void {
    const { run: before, members, count } = doubt;
    this.#cutTail();
    if (doubt.reason === "restart" && count <= MOST_AGAIN && members.every((member) => !before.isFar(member))) {
      // They had not restarted: those few were late, or duplicates.
      this.#doubt = undefined;
      this.restarts--;
      this.lost = doubt.lost;
      this.late = doubt.late;
      this.duplicates = doubt.duplicates;
      this.#run = before;
      for (const member of members) this.#place(before, member);
    } else {
      this.#contradict(doubt);
      doubt.run = run;
      this.#run = before;
    }
    this.#place(before, sequence);
  }

  /** The numbers are those of two producers: they did not restart, and what lies between them is not lost. */
  #contradict(doubt: Doubt): void {
    if (doubt.reason === "restart") this.restarts--;
    if (doubt.reason === "leap") this.lost -= doubt.leap;
    this.contradictory = true;
    doubt.reason = "two";
  }

  /** Counts a number that is not far off. */
  #place(run: Run, sequence: number): void {
    const ahead = run.ahead(sequence);
    if (ahead < 0) return this.#account(run, sequence, run.status(sequence), 1);
    this.lost += ahead;
    run.take(sequence);
  }

  /** Counts a number that is behind, or takes that back. */
  #account(run: Run, sequence: number, status: Status, sign: 1 | -1): void {
    if (status === "far") return;
    if (status === "seen") {
      this.duplicates += sign;
      return;
    }
    this.late += sign;
    if (status !== "missing") return;
    this.lost -= sign;
    run.mark(sequence, sign < 0);
  }
}

/** Number of set bits in a word. */
function bitsIn(word: number): number {
  let bits = word - (word >>> 1 & 0x55555555);
  bits = (bits & 0x33333333) + (bits >>> 2 & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function isAfter(sequence: number, before: number): boolean {
  return ((sequence - before) | 0) > 0;
}

function isNear(sequence: number, other: number): boolean {
  return Math.abs((sequence - other) | 0) < WINDOW;
}
