/** Wireshark's toolbar for psample: the rate, which may be changed there, what was lost, the traffic, and a log. */
import type { Destination } from "../../src/sink/destination.ts";
import { openPipe, PipeReader } from "../../src/sink/pipes.ts";
import { Spool } from "../../src/sink/spool.ts";
import type { Followed } from "../face.ts";
import { scaled } from "../top/figures.ts";
import { COMMAND, controlBytes, type ControlMessage, ControlReader } from "./control.ts";
import { CONTROL } from "./toolbar_sentences.ts";

const { rate: RATE, lost: LOST, traffic: TRAFFIC, log: LOG } = CONTROL;

/** How often the toolbar says something new, and looks for what it has to say. */
const SHOW_MS = 1000;
const LOOK_MS = 100;
/** How much may wait for Wireshark. What does not fit is not shown: the next figures replace those before. */
const SPOOL_BYTES = 1 << 16;
/** How many lines of the log are kept until Wireshark is ready for them. */
const MOST_LINES = 100;
/** How long to wait until Wireshark opens its end. */
const WAIT_MS = 30_000;

/** The toolbar while something is captured. */
export class Toolbar {
  readonly #reader: PipeReader;
  readonly #messages = new ControlReader();
  readonly #over = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #spool: Spool | undefined;
  /** Wireshark has said that it accepts values: until then it discards them. */
  #isReady = false;
  #lines: string[] = [];
  #running: Followed | undefined;
  #rate: number | undefined;
  #before = { received: 0, ms: 0 };
  #shownMs = 0;

  private constructor(reader: PipeReader, toWireshark: string) {
    this.#reader = reader;
    const { signal } = this.#over;
    openPipe(toWireshark, { waitMs: WAIT_MS, signal }).then((pipe) => this.#connect(pipe), () => {
      // Without a toolbar nothing is missing in the capture.
    });
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Opens the pipes: at once the one that Wireshark writes to, because it waits for that; the other as soon as Wireshark reads it. */
  static async open(fromWireshark: string, toWireshark: string): Promise<Toolbar> {
    return new Toolbar(await PipeReader.open(fromWireshark), toWireshark);
  }

  /** Adds a line to the log, and shows it in the status bar. */
  log(text: string): void {
    if (this.#lines.length < MOST_LINES) this.#lines.push(text);
    this.#sendLines();
  }

  /** Shows what a command does, until the returned function is called. */
  follow(running: Followed): () => void {
    this.#running = running;
    this.#rate = running.rate;
    this.#before = { received: running.stats().received, ms: performance.now() };
    this.#greet();
    return () => {
      this.#show();
      this.#running = undefined;
    };
  }

  /** Delivers what it can at once, and closes the pipes. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#over.abort();
    this.#reader.close();
    const spool = this.#spool;
    if (!spool) return;
    // Whoever does not read it now will not read it later.
    await new Promise((resolve) => setTimeout(resolve, spool.isWaiting ? LOOK_MS : 0));
    spool.abort();
  }

  #connect(pipe: Destination): void {
    if (this.#over.signal.aborted) return pipe.close();
    this.#spool = new Spool(pipe, SPOOL_BYTES);
    this.#greet();
  }

  #look(): void {
    for (const message of this.#messages.read(this.#reader.read())) this.#hear(message);
    if (performance.now() - this.#shownMs >= SHOW_MS) this.#show();
  }

  #hear({ control, command, text }: ControlMessage): void {
    if (command === COMMAND.initialized) {
      this.#isReady = true;
      return this.#greet();
    }
    // What it repeats from the last capture before it is ready is older than the options of this one.
    if (command !== COMMAND.set || control !== RATE || !this.#isReady) return;
    const rate = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : NaN;
    const resample = this.#running?.resample;
    if (!resample || !(rate <= 0xffffffff)) {
      this.log(resample ? `the rate ${JSON.stringify(text)} is not a whole number from 1 to 4294967295` : "others have chosen this rate");
      return this.#sendRate();
    }
    if (rate === this.#rate) return;
    this.#rate = rate;
    void resample(rate).then(() => this.#sendRate(), (error) => this.log(`${error}`));
  }

  /** What is said as soon as there are both somebody who listens and something to say. */
  #greet(): void {
    if (!this.#isReady || !this.#spool) return;
    this.#sendLines();
    if (!this.#running) return;
    // Nobody but us has something to write there.
    for (const control of this.#running.resample ? [LOST, TRAFFIC] : [RATE, LOST, TRAFFIC]) this.#send(control, COMMAND.disable, "");
    this.#sendRate();
    this.#show();
  }

  #sendLines(): void {
    if (!this.#isReady || !this.#spool) return;
    for (const line of this.#lines) {
      this.#send(LOG, COMMAND.add, `${new Date().toISOString()} ${line}\n`);
      this.#send(LOG, COMMAND.status, `psample: ${line}`);
    }
    this.#lines = [];
  }

  #sendRate(): void {
    this.#send(RATE, COMMAND.set, this.#rate === undefined ? "" : `${this.#rate}`);
  }

  #show(): void {
    const running = this.#running;
    if (!running || !this.#isReady) return;
    const ms = this.#shownMs = performance.now();
    const { received, lost } = running.stats();
    const seconds = (ms - this.#before.ms) / 1000;
    const perSecond = seconds > 0 ? Math.round((received - this.#before.received) / seconds) : 0;
    this.#before = { received, ms };
    this.#send(LOST, COMMAND.set, lost === 0 ? "0" : `${lost} (${scaled(100 * lost / (received + lost), "%")})`);
    const load = running.tally.recent();
    this.#send(TRAFFIC, COMMAND.set, `${perSecond} samples/s${load === undefined ? "" : `, about ${load}`}`);
  }

  #send(control: number, command: number, text: string): void {
    const spool = this.#spool;
    if (!spool || spool.isFull) return;
    spool.output.put(controlBytes({ control, command, text }));
    spool.entered(0);
    spool.settle(false);
  }
}
