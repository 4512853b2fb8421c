import { Message, MESSAGE_HEADER_BYTES, SET_HEADER_BYTES } from "./message.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Template } from "./template.ts";

/** What a collector must know first, and is sent again with the templates: records of options. */
export interface Standing {
  /** Writes them. */
  write(domain: Domain): void;
}

/**
 * An observation domain: the messages, the sequence numbers and the templates of its own that RFC 7011 gives it.
 *
 * What a collector must know comes first: at the beginning with the first record that needs it, later in messages of its own, which are
 * sent before the one that has begun. Without templates they come after it: it may have a new one that they need.
 */
export class Domain {
  readonly id: number;
  readonly #out: Outgoing;
  #message: Message;
  /** Number of records of data in complete messages, modulo 2^32. */
  #sequence = 0;
  /** The templates that have been sent, in this order. */
  readonly #templates = new Set<Template>();
  /** The last of them that was used. */
  #template: Template | undefined = undefined;
  readonly #standing = new Set<Standing>();
  #announcedMs: number;
  #waitMs: number;
  readonly #nextMs: () => number;
  #isDue = false;
  #areTemplatesDue = false;

  /**
   * @param phase After which part of a wait everything is announced again for the first time.
   * @param nextMs Returns how long to wait each time.
   */
  constructor(id: number, out: Outgoing, phase: number, nextMs: () => number) {
    this.id = id;
    this.#out = out;
    this.#message = new Message(out.maxDatagramBytes);
    this.#announcedMs = out.nowMs;
    this.#waitMs = phase * nextMs();
    this.#nextMs = nextMs;
  }

  /** The message that is being written. */
  get view(): DataView<ArrayBuffer> {
    return this.#message.view;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#message.bytes;
  }

  /** Maximum size of a record. */
  get maxRecordBytes(): number {
    return this.#out.maxDatagramBytes - MESSAGE_HEADER_BYTES - SET_HEADER_BYTES;
  }

  /** Where to write a record of at most this many bytes. Call {@linkcode Domain.end} after it. */
  begin(template: Template, most: number): number {
    if (template !== this.#template) this.tell(template);
    if (this.#message.room(template.id) < most) this.complete();
    this.#message.open(template.id);
    return this.#message.length;
  }

  /** Ends the record that began last: it ends at `at`, and stands for this many samples. */
  end(at: number, samples: number): void {
    const message = this.#message;
    message.length = at;
    message.records++;
    message.samples += samples;
  }

  /** Ends a record of options. It is alone in its set: nfdump reads only the first of each. */
  endAlone(at: number): void {
    this.end(at, 0);
    this.#message.close();
  }

  /** Sends a template, unless it has been sent. */
  tell(template: Template): void {
    if (!this.#templates.has(template)) {
      this.makeRoom(template.setBytes);
      // What was announced meanwhile may have needed it too.
      if (!this.#templates.has(template)) {
        this.#templates.add(template);
        this.#write(template);
      }
    }
    this.#template = template;
  }

  /** Completes the message if it has no room for this many bytes more. */
  makeRoom(bytes: number): void {
    if (this.#message.bytes.length - this.#message.length < bytes) this.complete();
  }

  /** Sends records of options, now and with the templates. */
  stand(standing: Standing): void {
    this.#standing.add(standing);
    standing.write(this);
  }

  /**
   * Announces everything again if it is time to, or if the clock was set back.
   *
   * @param keepsTemplates Whether the collector still has all templates: then only records of options are sent, some of which count.
   */
  refresh(keepsTemplates = false): void {
    const passed = this.#out.nowMs - this.#announcedMs;
    if (passed < this.#waitMs && passed >= 0) return;
    this.#isDue = true;
    if (!keepsTemplates) this.#areTemplatesDue = true;
  }

  /** Before the next message, sends again what a collector must know. */
  announce(): void {
    this.#isDue = true;
    this.#areTemplatesDue = true;
  }

  /** Completes the message, if anything is in it, and what is due to be announced. */
  complete(): void {
    if (this.#areTemplatesDue) this.#announceNow();
    const message = this.#message;
    if (!message.isEmpty) {
      message.complete(this.#out.seconds, this.#sequence, this.id);
      this.#out.add(message);
      this.#sequence = (this.#sequence + message.records) >>> 0;
      message.clear();
    }
    if (this.#isDue) this.#announceNow();
  }

  #announceNow(): void {
    const withTemplates = this.#areTemplatesDue;
    this.#isDue = this.#areTemplatesDue = false;
    this.#announcedMs = this.#out.nowMs;
    this.#waitMs = this.#nextMs();
    const begun = this.#message;
    this.#message = new Message(this.#out.maxDatagramBytes);
    if (withTemplates) { for (const template of this.#templates) this.#write(template); }
    for (const standing of this.#standing) standing.write(this);
    this.complete();
    this.#message = begun;
  }

  #write(template: Template): void {
    this.makeRoom(template.setBytes);
    const message = this.#message;
    message.close();
    message.length = template.write(message.view, message.length);
  }
}
