/** Wireshark's end of the pipes of an extcap. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { controlBytes, type ControlMessage, ControlReader } from "../../cli/extcap/control.ts";
import { loadSys } from "../../src/sys/load.ts";
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY } from "../../src/sys/sys.ts";
import { until } from "./waiting.ts";

const sys = await loadSys();

/** Named pipes in a directory of their own, and what came through them. */
export class WiresharkPipes implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "psample-pipes-"));
  readonly fifo: string = this.#make("fifo");
  readonly controlIn: string = this.#make("control-in");
  readonly controlOut: string = this.#make("control-out");
  readonly #fds = new Map<string, number>();
  readonly #reader = new ControlReader();
  readonly #messages: ControlMessage[] = [];
  /** The recording, with room for more. */
  #recording = new Uint8Array(1 << 20);
  #recorded = 0;

  /** The arguments that name them; without those of the toolbar as tshark gives them. */
  words(hasToolbar = true): string[] {
    const toolbar = ["--extcap-control-out", this.controlOut, "--extcap-control-in", this.controlIn];
    return ["--fifo", this.fifo, ...hasToolbar ? toolbar : []];
  }

  /** Begins to read the samples. */
  read(): void {
    this.#open(this.fifo, O_RDONLY);
  }

  /** The recording so far. The bytes are valid until the next call. */
  recorded(): Uint8Array<ArrayBuffer> {
    for (let piece = this.#piece(this.fifo); piece.length > 0; piece = this.#piece(this.fifo)) {
      if (this.#recorded + piece.length > this.#recording.length) {
        const larger = new Uint8Array(2 * this.#recording.length);
        larger.set(this.#recording);
        this.#recording = larger;
      }
      this.#recording.set(piece, this.#recorded);
      this.#recorded += piece.length;
    }
    return this.#recording.subarray(0, this.#recorded);
  }

  /** Reads no more samples. */
  leave(): void {
    sys.close(this.#fds.get(this.fifo)!);
    this.#fds.delete(this.fifo);
  }

  /** Opens the toolbar as Wireshark does: the pipe to psample can be opened as soon as that reads it. */
  async openToolbar(): Promise<void> {
    this.#open(this.controlOut, O_RDONLY);
    await until("psample reads the pipe from the toolbar", () => this.#open(this.controlIn, O_WRONLY));
  }

  /** Tells psample something. */
  tell(message: ControlMessage): void {
    const bytes = controlBytes(message);
    assertEquals(sys.write(this.#fds.get(this.controlIn)!, bytes), bytes.length);
  }

  /** What psample has told the toolbar so far. */
  told(): readonly ControlMessage[] {
    for (let piece = this.#piece(this.controlOut); piece.length > 0; piece = this.#piece(this.controlOut)) {
      this.#messages.push(...this.#reader.read(piece));
    }
    return this.#messages;
  }

  /** The last value of a control. */
  shown(control: number): string | undefined {
    return this.told().findLast((message) => message.control === control && message.command === 1)?.text;
  }

  #make(name: string): string {
    const path = join(this.#directory, name);
    assertEquals(spawnSync("mkfifo", [path]).status, 0);
    return path;
  }

  #open(path: string, access: number): boolean {
    const fd = sys.open(path, access | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd >= 0) this.#fds.set(path, fd);
    return fd >= 0;
  }

  #piece(path: string): Uint8Array {
    const bytes = new Uint8Array(1 << 16);
    const size = sys.read(this.#fds.get(path)!, bytes);
    return bytes.subarray(0, Math.max(0, size));
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.values()) sys.close(fd);
    rmSync(this.#directory, { recursive: true });
  }
}
