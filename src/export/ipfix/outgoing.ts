import { ArgumentError } from "../../errors.ts";
import { Clock } from "../../stream/clock.ts";
import type { Datagrams, SendDatagrams } from "../datagrams.ts";
import type { Message } from "./message.ts";

/** Where complete messages go: one datagram each. Its time is the one last passed to it. */
export class Outgoing {
  /** Maximum size of a message. */
  readonly maxDatagramBytes: number;
  /** This machine's clock: whole seconds since 1970. */
  seconds = 0;
  /** The same in milliseconds. */
  nowMs = 0;
  readonly #datagrams: Datagrams;
  readonly #send: SendDatagrams;
  readonly #clock = new Clock();

  constructor(datagrams: Datagrams, send: SendDatagrams, maxDatagramBytes: number) {
    if (datagrams.ends.length === 0 || datagrams.bytes.length < maxDatagramBytes) {
      throw new ArgumentError(
        `Cannot export IPFIX: a datagram of ${maxDatagramBytes} bytes does not fit into ${datagrams.bytes.length}`,
      );
    }
    this.#datagrams = datagrams;
    this.#send = send;
    this.maxDatagramBytes = maxDatagramBytes;
  }

  /** Sets the time. */
  tick(nowNs: bigint): void {
    const clock = this.#clock;
    clock.split(nowNs);
    this.seconds = clock.seconds;
    this.nowMs = clock.seconds * 1000 + clock.nanoseconds / 1e6;
  }

  /** Adds a message; sends the others first if there is no room. */
  add(message: Message): void {
    const datagrams = this.#datagrams;
    if (datagrams.lacks(message.length)) this.#send(datagrams);
    datagrams.bytes.set(message.written, datagrams.used);
    datagrams.complete(message.length, message.samples, message.records);
  }

  /** Sends everything. */
  flush(): void {
    if (this.#datagrams.count > 0) this.#send(this.#datagrams);
  }
}
