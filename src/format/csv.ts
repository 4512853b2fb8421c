/**
 * Samples as comma-separated values, RFC 4180: a header line, a line for each sample, each line ended by CR and LF. Columns have
 * the names of JSON's keys, those inside objects after a dot (`tunnel.source`). Absent is empty; lists are joined by a blank.
 */
import { ArgumentError } from "../errors.ts";
import { type PacketFields, packetFields } from "../packet/fields.ts";
import type { AnySample } from "../psample/sample_view.ts";
import type { Tunnel } from "../psample/tunnel.ts";
import type { Batch } from "../stream/batch.ts";
import type { UnknownAttribute } from "../wire/attr_reader.ts";
import { printable, toHex } from "../wire/text.ts";
import { directionOf, etherTypeText } from "./details.ts";
import { INSTANT_BYTES, InstantWriter } from "./instant.ts";
import { cookieLabel, groupLabel, type Labels, vlanLabels } from "./labels.ts";
import type { Output } from "./output.ts";
import { geneveWord } from "./text_details.ts";

/** What a column contains: bytes are written as hexadecimal, `undefined` is empty. */
type Value = string | number | bigint | boolean | Uint8Array | undefined;

/** Reads the value of a column; {@linkcode InstantWriter} writes the time without making a string. */
type Column = "at" | PacketColumn | ((sample: AnySample, batch: Batch, i: number, labels: Labels) => Value);

/** Reads a value from the headers of the packet, which are put into words once for all columns. */
class PacketColumn {
  constructor(readonly read: (packet: PacketFields) => Value) {}
}

/** The columns of one level of headers. */
const PACKET_COLUMNS: { readonly [Key in Exclude<keyof PacketFields, "inner">]-?: (packet: PacketFields) => Value } = {
  etherSource: (packet) => packet.etherSource,
  etherDestination: (packet) => packet.etherDestination,
  etherType: (packet) => packet.etherType,
  vlans: (packet) => packet.vlans?.map(({ id, priority, tpid }) => `${id}:${priority}:${tpid}`).join(" "),
  mplsLabels: (packet) => packet.mplsLabels?.join(" "),
  source: (packet) => packet.source,
  destination: (packet) => packet.destination,
  protocol: (packet) => packet.protocol,
  protocolName: (packet) => packet.protocolName,
  sourcePort: (packet) => packet.sourcePort,
  destinationPort: (packet) => packet.destinationPort,
  tcpFlags: (packet) => packet.tcpFlags,
  ttl: (packet) => packet.ttl,
  dscp: (packet) => packet.dscp,
  ipLength: (packet) => packet.ipLength,
  fragmentOffset: (packet) => packet.fragmentOffset,
  icmpType: (packet) => packet.icmpType,
  icmpCode: (packet) => packet.icmpCode,
  tunnelId: (packet) => packet.tunnelId,
  cut: (packet) => packet.cut,
  broken: (packet) => packet.broken,
};

/** The columns of the packet, and of the one in its tunnel. */
function* packetColumns(): Iterable<[string, Column]> {
  for (const [name, read] of Object.entries(PACKET_COLUMNS)) yield [`packet.${name}`, new PacketColumn(read)];
  for (const [name, read] of Object.entries(PACKET_COLUMNS)) {
    // `cut` and `broken` are given once for the whole packet.
    if (name === "cut" || name === "broken") continue;
    yield [`packet.inner.${name}`, new PacketColumn(({ inner }) => inner && read(inner))];
  }
}

/** All columns, in the order of JSON's keys. */
const COLUMNS: ReadonlyMap<string, Column> = new Map<string, Column>([
  ["type", (sample) => sample.type],
  ["group", (sample) => sample.group],
  ["sequence", (sample) => sample.sequence],
  ["rate", (sample) => sample.rate],
  ["rateIsProbability", (sample) => sample.rateIsProbability],
  ["oneIn", (sample) => sample.oneIn],
  ["inIfindex", (sample) => sample.inIfindex],
  ["outIfindex", (sample) => sample.outIfindex],
  ["originalBytes", (sample) => sample.originalBytes],
  ["protocol", (sample) => sample.protocol],
  ["timestampNs", (sample) => sample.timestampNs],
  ["latencyNs", (sample) => sample.latencyNs],
  ["outTc", (sample) => sample.outTc],
  ["outTcOccupancyBytes", (sample) => sample.outTcOccupancyBytes],
  ["cookie", (sample) => sample.cookie],
  ...tunnelColumns({
    id: (tunnel) => tunnel.id,
    source: (tunnel) => tunnel.source,
    destination: (tunnel) => tunnel.destination,
    tos: (tunnel) => tunnel.tos,
    ttl: (tunnel) => tunnel.ttl,
    dontFragment: (tunnel) => tunnel.dontFragment,
    checksum: (tunnel) => tunnel.checksum,
    oam: (tunnel) => tunnel.oam,
    sourcePort: (tunnel) => tunnel.sourcePort,
    destinationPort: (tunnel) => tunnel.destinationPort,
    geneveOptions: (tunnel) => tunnel.geneveOptions?.map(geneveWord).join(" "),
    vxlanOptions: (tunnel) => tunnel.vxlanOptions,
    erspanOptions: (tunnel) => tunnel.erspanOptions,
    ipv4InfoBridge: (tunnel) => tunnel.ipv4InfoBridge,
    unknown: (tunnel) => attributesText(tunnel.unknown),
  }),
  ["unknown", (sample) => attributesText(sample.unknown)],
  ["nsid", (sample) => sample.nsid],
  ["portId", (sample) => sample.portId],
  ["at", "at"],
  ["device", (_sample, batch, i) => printable(batch.device(i)?.name)],
  ["direction", directionOf],
  ["protocolName", (sample) => etherTypeText(sample.protocol)],
  ...packetColumns(),
  ["groupLabel", (sample, _batch, _i, labels) => printable(groupLabel(labels, sample))],
  ["cookieLabel", (sample, _batch, _i, labels) => printable(cookieLabel(labels, sample))],
  ["vlanLabels", (_sample, batch, i, labels) => vlanLabels(labels, batch, i).map((name) => printable(name)).join(" ")],
  ["data", (sample) => sample.data],
]);

/**
 * The names of all columns that a {@linkcode CsvWriter} knows.
 *
 * @category Formats
 */
export const CSV_FIELDS: readonly string[] = [...COLUMNS.keys()];

/**
 * The default columns of a {@linkcode CsvWriter}: what people look at first.
 *
 * @category Formats
 */
export const CSV_DEFAULT_FIELDS: readonly string[] = [
  "at",
  "device",
  "direction",
  "originalBytes",
  "protocolName",
  "packet.source",
  "packet.sourcePort",
  "packet.destination",
  "packet.destinationPort",
  "packet.protocolName",
  "packet.tcpFlags",
  "oneIn",
];

/**
 * What {@linkcode CsvWriter} writes.
 *
 * @category Formats
 */
export interface CsvOptions {
  /** The columns, by their names in {@linkcode CSV_FIELDS}. Defaults to {@linkcode CSV_DEFAULT_FIELDS}. */
  fields?: readonly string[] | undefined;
  /**
   * Names for groups, cookies and VLANs. Defaults to none. Without {@linkcode CsvOptions.fields}, each kind that is given adds a column.
   */
  labels?: Labels | undefined;
}

const COMMA = 0x2c;
const QUOTE = 0x22;
const CR = 0x0d;
const LF = 0x0a;

/**
 * Writes samples as lines of CSV. Group events are left out: they have nothing to put into the columns.
 *
 * @category Formats
 */
export class CsvWriter {
  readonly #fields: readonly string[];
  readonly #columns: readonly Column[];
  readonly #labels: Labels;
  readonly #instant = new InstantWriter();

  /**
   * A writer of these columns.
   *
   * @throws {ArgumentError} if a column does not exist, or there are none.
   */
  constructor({ labels = {}, fields = [...CSV_DEFAULT_FIELDS, ...labelFields(labels)] }: CsvOptions = {}) {
    this.#labels = labels;
    if (fields.length === 0) throw new ArgumentError("Cannot write CSV: there are no fields");
    this.#fields = [...fields];
    this.#columns = fields.map((field) => {
      const column = COLUMNS.get(field);
      if (column === undefined) throw new ArgumentError(`Cannot write CSV: there is no field ${JSON.stringify(field)}`);
      return column;
    });
  }

  /** Writes the header line. */
  begin(output: Output): void {
    output.text(`${this.#fields.join(",")}\r\n`);
  }

  /** Writes entry `i` of a batch, if it is a sample. */
  write(output: Output, batch: Batch, i: number): void {
    const sample = batch.entries[i]!;
    if (sample.type !== "sample") return;
    const columns = this.#columns;
    let packet: PacketFields | undefined;
    for (let at = 0; at < columns.length; at++) {
      output.reserve(INSTANT_BYTES + 3);
      if (at > 0) output.byte(COMMA);
      const column = columns[at]!;
      if (typeof column === "function") writeValue(output, column(sample, batch, i, this.#labels));
      else if (column === "at") {
        if (this.#instant.read(batch, i)) this.#instant.write(output);
      } else if (sample.data !== undefined) {
        packet ??= packetFields(batch.packet(i));
        writeValue(output, column.read(packet));
      }
    }
    output.reserve(2);
    output.byte(CR);
    output.byte(LF);
  }
}

function labelFields({ groups, cookies, vlans }: Labels): readonly string[] {
  return Object.entries({ groupLabel: groups, cookieLabel: cookies, vlanLabels: vlans }).filter(([, names]) => names).map(([field]) =>
    field
  );
}

function* tunnelColumns(columns: { readonly [Key in keyof Tunnel]-?: (tunnel: Tunnel) => Value }): Iterable<[string, Column]> {
  for (const [name, read] of Object.entries(columns)) {
    yield [`tunnel.${name}`, ({ tunnel }) => tunnel && read(tunnel)];
  }
}

/** Unknown attributes: number and value of each, in hexadecimal. */
function attributesText(attributes: readonly UnknownAttribute[]): string {
  return attributes.map(({ type, value }) => `${type}:${toHex(value)}`).join(" ");
}

function writeValue(output: Output, value: Value): void {
  switch (typeof value) {
    case "undefined":
      return;
    case "number":
    case "bigint":
      return output.number(value);
    case "boolean":
      return output.text(String(value));
    case "string":
      return writeText(output, value);
    default:
      output.text(toHex(value));
  }
}

/** RFC 4180, 2.6 and 2.7: what contains commas, quotes or line breaks is quoted, and quotes in it are doubled. */
function writeText(output: Output, text: string): void {
  if (!/[",\r\n]/.test(text)) return output.text(text);
  output.reserve(2);
  output.byte(QUOTE);
  output.text(text.replaceAll('"', '""'));
  output.reserve(1);
  output.byte(QUOTE);
}
