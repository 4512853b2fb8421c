/**
 * Reads IPFIX as RFC 7011 has it, knowing nothing of what wrote it: templates first, then data by them. Throws at the first violation.
 */

/** One record, of data or of options. */
export interface IpfixRecord {
  readonly domain: number;
  readonly template: number;
  /** How many of the fields are the scope; 0 for records that are not options. */
  readonly scopes: number;
  /** Values by the number of the element; with the enterprise in front, as in "32473/1", if it is not IANA's. */
  readonly fields: ReadonlyMap<string, Uint8Array>;
}

/** A message. */
export interface IpfixMessage {
  readonly exportSeconds: number;
  readonly sequence: number;
  readonly domain: number;
  /** The numbers of its sets. */
  readonly sets: readonly number[];
  readonly records: readonly IpfixRecord[];
}

interface Field {
  readonly key: string;
  readonly size: number;
}

interface TemplateRecord {
  readonly scopes: number;
  readonly fields: readonly Field[];
}

function fail(what: string): never {
  throw new Error(`IPFIX: ${what}`);
}

/** A collector: it knows the templates that it was sent, and which record is next. */
export class IpfixDecoder {
  /** By domain and number. */
  readonly #templates = new Map<string, TemplateRecord>();
  readonly #next = new Map<number, number>();

  /** Number of templates known. */
  get templates(): number {
    return this.#templates.size;
  }

  /** Reads one message. Numbers must have no gap, unless it is said that they may. */
  read(bytes: Uint8Array, { gaps = false } = {}): IpfixMessage {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < 16) fail(`a message of ${bytes.length} bytes`);
    if (view.getUint16(0) !== 10) fail(`version ${view.getUint16(0)}`);
    if (view.getUint16(2) !== bytes.length) fail(`length ${view.getUint16(2)} in ${bytes.length} bytes`);
    const sequence = view.getUint32(8);
    const domain = view.getUint32(12);
    const expected = this.#next.get(domain) ?? 0;
    if (gaps ? sequence < expected : sequence !== expected) fail(`sequence ${sequence} in domain ${domain}, expected ${expected}`);
    const sets: number[] = [];
    const records: IpfixRecord[] = [];
    let at = 16;
    while (at < bytes.length) {
      if (at + 4 > bytes.length) fail("a set without a header");
      const id = view.getUint16(at);
      const end = at + view.getUint16(at + 2);
      if (end < at + 8 || end > bytes.length) fail(`set ${id} ends at ${end} of ${bytes.length}`);
      sets.push(id);
      if (id === 2 || id === 3) this.#readTemplates(view, at + 4, end, id === 3, domain);
      else if (id >= 256) this.#readData(view, at + 4, end, id, domain, records);
      else fail(`set ${id}`);
      at = end;
    }
    if (sets.length === 0) fail("a message without sets");
    this.#next.set(domain, (sequence + records.length) >>> 0);
    return { exportSeconds: view.getUint32(4), sequence, domain, sets, records };
  }

  #readTemplates(view: DataView, at: number, end: number, isOptions: boolean, domain: number): void {
    while (end - at >= 4) {
      const id = view.getUint16(at);
      const count = view.getUint16(at + 2);
      if (id < 256 || count === 0) fail(`template ${id} of ${count} fields`);
      at += 4;
      const scopes = isOptions ? view.getUint16(at) : 0;
      if (isOptions) {
        at += 2;
        if (scopes === 0 || scopes > count) fail(`${scopes} scopes of ${count} fields`);
      }
      const fields: Field[] = [];
      for (let i = 0; i < count; i++) {
        const element = view.getUint16(at);
        const size = view.getUint16(at + 2);
        at += 4;
        let key = String(element & 0x7fff);
        if (element & 0x8000) {
          key = `${view.getUint32(at)}/${key}`;
          at += 4;
        }
        if (size === 0) fail(`field ${key} of no bytes`);
        fields.push({ key, size });
      }
      const name = `${domain}/${id}`;
      const before = this.#templates.get(name);
      // A template must not change before it is withdrawn, which UDP cannot say (RFC 7011, sections 8.1 and 8.4).
      if (before && JSON.stringify(before) !== JSON.stringify({ scopes, fields })) fail(`template ${name} changed`);
      this.#templates.set(name, { scopes, fields });
    }
    if (at !== end) fail(`${end - at} bytes after the last template`);
  }

  #readData(view: DataView, at: number, end: number, id: number, domain: number, records: IpfixRecord[]): void {
    const template = this.#templates.get(`${domain}/${id}`) ?? fail(`set ${id} before its template in domain ${domain}`);
    const shortest = template.fields.reduce((sum, { size }) => sum + (size === 0xffff ? 1 : size), 0);
    if (end - at < shortest) fail(`set ${id} has no records`);
    while (end - at >= shortest) {
      const fields = new Map<string, Uint8Array>();
      for (const { key, size } of template.fields) {
        let length = size;
        if (size === 0xffff) {
          length = view.getUint8(at++);
          if (length === 255) {
            length = view.getUint16(at);
            at += 2;
          }
        }
        if (at + length > end) fail(`field ${key} of set ${id} goes beyond it`);
        if (fields.has(key)) fail(`field ${key} twice`);
        fields.set(key, new Uint8Array(view.buffer, view.byteOffset + at, length).slice());
        at += length;
      }
      records.push({ domain, template: id, scopes: template.scopes, fields });
    }
    for (; at < end; at++) if (view.getUint8(at) !== 0) fail(`padding is not zero in set ${id}`);
  }
}

/** A field as an unsigned number. */
export function unsigned(record: IpfixRecord, key: string): number {
  return Number(unsigned64(record, key));
}

/** A field as an unsigned 64-bit number. */
export function unsigned64(record: IpfixRecord, key: string): bigint {
  const bytes = record.fields.get(key) ?? fail(`no field ${key} in a record of template ${record.template}`);
  return bytes.reduce((sum, byte) => sum << 8n | BigInt(byte), 0n);
}
