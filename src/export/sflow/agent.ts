/** An sFlow agent: one network namespace, with what its samples are gathered in and what is counted of its interfaces. */
import { ArgumentError } from "../../errors.ts";
import { Datagram } from "./datagram.ts";
import { Source } from "./source.ts";

/** What of a datagram one sample may exceed: the largest one there is, and room for counters. */
const MORE_BYTES = 1024;

/** One agent, or sub-agent. */
export class Agent {
  /** Number of the last datagram; the first one is 1. */
  sequence = 0;
  /** When it was used last, in batches. */
  usedAt = 0;
  /** Each kind of sample has datagrams of its own: some collectors discard a whole datagram that contains one they do not know. */
  readonly flows: Datagram;
  #counters: Datagram | undefined;
  #discards: Datagram | undefined;
  /** By type and index in one number. */
  readonly sources: Map<number, Source> = new Map();
  readonly #makeDatagram: () => Datagram;

  /**
   * @param nsid Its namespace; `undefined` for the listener's own.
   * @param address The address that collectors know it by.
   * @param maxDatagramBytes Maximum size of a datagram.
   * @param headerBytes Maximum number of bytes of a packet in a sample.
   */
  constructor(readonly nsid: number | undefined, address: Uint8Array, subAgent: number, maxDatagramBytes: number, headerBytes: number) {
    this.#makeDatagram = () => new Datagram(address, subAgent, maxDatagramBytes, MORE_BYTES + headerBytes);
    this.flows = this.#makeDatagram();
  }

  /** The datagram of counters that is being filled. */
  get counters(): Datagram {
    return this.#counters ??= this.#makeDatagram();
  }

  /** Whether a datagram is the one of counters. */
  holdsCounters(datagram: Datagram): boolean {
    return datagram === this.#counters;
  }

  /** The datagram of discarded packets that is being filled. */
  get discards(): Datagram {
    return this.#discards ??= this.#makeDatagram();
  }

  /** All datagrams that have been begun. */
  get begun(): Datagram[] {
    return [this.flows, this.#counters, this.#discards].filter((datagram) => datagram !== undefined && datagram.count > 0) as Datagram[];
  }

  /** A data source that has been used before. */
  find(type: number, index: number): Source | undefined {
    return this.sources.get(type * 0x1_0000_0000 + index);
  }

  /** A data source that is new. */
  enter(type: number, index: number): Source {
    if (!(Number.isInteger(index) && index >= 0 && index <= 0xffff_ffff)) {
      throw new ArgumentError(`ifindex ${index} is not a whole number from 0 to 4294967295`);
    }
    const source = new Source();
    this.sources.set(type * 0x1_0000_0000 + index, source);
    return source;
  }
}
