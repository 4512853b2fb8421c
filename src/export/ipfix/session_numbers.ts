/** Offsets in a message's header (RFC 7011, section 3.1). */
const SEQUENCE = 8;
const DOMAIN = 12;

/** The observation domain of a message. */
export function domainOf(message: DataView, at: number): number {
  return message.getUint32(at + DOMAIN);
}

/**
 * Numbers messages for one transport session, a TCP connection: in each domain the records of data are counted from 0 on (RFC 7011, section
 * 3.1), whatever numbers the encoder gave them. So a message that was made before the connection may be sent after one that was made later.
 */
export class SessionNumbers {
  readonly #next = new Map<number, number>();

  /**
   * Writes the number of a message that is sent next.
   *
   * @param at Where it begins.
   * @param records How many records of data it has.
   * @param missing How many records of its domain were to be sent in this session before it and never will be: a gap shows them.
   */
  number(message: DataView, at: number, records: number, missing: number): void {
    const domain = domainOf(message, at);
    const sequence = ((this.#next.get(domain) ?? 0) + missing) >>> 0;
    message.setUint32(at + SEQUENCE, sequence);
    this.#next.set(domain, (sequence + records) >>> 0);
  }

  /** A new session begins. */
  restart(): void {
    this.#next.clear();
  }
}
