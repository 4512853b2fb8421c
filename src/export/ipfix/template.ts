import { type Element, VARIABLE } from "./elements.ts";

/** Set identifiers (RFC 7011, section 3.3.2). */
const TEMPLATE_SET = 2;
const OPTIONS_TEMPLATE_SET = 3;
/** Set in a field's number if an enterprise number follows. */
const ENTERPRISE = 0x8000;

/** What the fields of a kind of record are, and in which order (RFC 7011, section 3.4). */
export class Template {
  /** Number of the data sets that it describes, 256 to 65535. */
  readonly id: number;
  readonly fields: readonly Element[];
  /** How many of the fields, the first ones, are the scope of an options record; 0 for other records. */
  readonly scopes: number;
  /** Size of the set that describes it. */
  readonly setBytes: number;
  /** Size of a record whose fields of variable length have neither bytes nor lengths. */
  readonly fixedBytes: number;

  constructor(id: number, fields: readonly Element[], scopes = 0) {
    this.id = id;
    this.fields = fields;
    this.scopes = scopes;
    this.setBytes = fields.reduce((sum, { enterprise }) => sum + (enterprise === undefined ? 4 : 8), scopes === 0 ? 8 : 10);
    this.fixedBytes = fields.reduce((sum, { size }) => sum + (size === VARIABLE ? 0 : size), 0);
  }

  /** Writes the set that describes it, and returns where that ends. */
  write(view: DataView, at: number): number {
    view.setUint16(at, this.scopes === 0 ? TEMPLATE_SET : OPTIONS_TEMPLATE_SET);
    view.setUint16(at + 2, this.setBytes);
    view.setUint16(at + 4, this.id);
    view.setUint16(at + 6, this.fields.length);
    at += 8;
    if (this.scopes > 0) {
      view.setUint16(at, this.scopes);
      at += 2;
    }
    for (const { id, size, enterprise } of this.fields) {
      view.setUint16(at, enterprise === undefined ? id : id | ENTERPRISE);
      view.setUint16(at + 2, size);
      at += 4;
      if (enterprise === undefined) continue;
      view.setUint32(at, enterprise);
      at += 4;
    }
    return at;
  }
}
