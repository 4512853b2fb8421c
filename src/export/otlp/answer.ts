/**
 * What a receiver of OTLP answers: ExportMetricsServiceResponse with its partial_success, or google.rpc.Status, in protobuf or JSON
 * (opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response"). What is neither is taken as text, since proxies answer too.
 *
 * @module
 */
import { printableText } from "../../wire/text.ts";

/** What a receiver says. */
export interface OtlpAnswer {
  /** How many points it rejected of a request that it otherwise accepted. */
  readonly rejected: number;
  /** What it says about that, or about why it refused everything; empty if it says nothing. */
  readonly message: string;
}

/** Text of others is cut to this. */
const MOST_MESSAGE = 200;
const NOTHING: OtlpAnswer = { rejected: 0, message: "" };

/**
 * Reads the body of an answer.
 *
 * @param isAccepted Whether its status is 200.
 * @param secrets What is not in the message, not even the beginning of it. Defaults to nothing.
 */
export function readOtlpAnswer(
  body: Uint8Array,
  type: string | undefined,
  isAccepted: boolean,
  secrets: readonly string[] = [],
): OtlpAnswer {
  const shown = (text: string): string => shortened(withoutSecrets(text, secrets));
  const kind = type?.replace(/;.*$/s, "").trim().toLowerCase();
  if (kind === "application/x-protobuf" || kind === "application/protobuf") {
    const fields = readFields(body);
    const inner = fields?.get(1);
    const said = isAccepted ? inner instanceof Uint8Array ? readFields(inner) : undefined : fields;
    const rejected = isAccepted ? said?.get(1) : 0;
    // ExportMetricsPartialSuccess.error_message and Status.message have the same number.
    const message = said?.get(2);
    return {
      rejected: countOf(rejected),
      message: message instanceof Uint8Array ? shown(decode(message)) : "",
    };
  }
  const text = decode(body);
  if (kind === "application/json") {
    const value = parsed(text);
    const said = isAccepted ? member(value, "partialSuccess") : value;
    const message = member(said, isAccepted ? "errorMessage" : "message");
    return {
      rejected: isAccepted ? countOf(member(said, "rejectedDataPoints")) : 0,
      message: typeof message === "string" ? shown(message) : "",
    };
  }
  return isAccepted || kind === "text/html" ? NOTHING : { rejected: 0, message: shown(text) };
}

/** The last value of each field: a number, or bytes; `undefined` if this is no message. */
function readFields(bytes: Uint8Array): Map<number, number | Uint8Array> | undefined {
  const fields = new Map<number, number | Uint8Array>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = bytes[at++];
      if (byte === undefined) return NaN;
      value += (byte & 127) * 128 ** i;
      if (byte < 128) return value;
    }
    return NaN;
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    const wire = tag % 8;
    let value: number | Uint8Array = NaN;
    if (wire === 0) {
      value = varint();
    } else {
      const size = wire === 1 ? 8 : wire === 2 ? varint() : wire === 5 ? 4 : NaN;
      value = bytes.subarray(at, at + size);
      at += size;
    }
    // Not a number compares false with everything.
    if (!(at <= bytes.length) || Number.isNaN(value)) return undefined;
    fields.set(field, value);
  }
  return fields;
}

/** A number of points, which 64-bit numbers in JSON are texts of. */
function countOf(value: unknown): number {
  const count = typeof value === "number" || typeof value === "string" ? Number(value) : 0;
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** A text in which each secret is `...`. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, "..."), text);
}

/** One line of what others say, which controls no terminal. */
export function shortened(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return printableText(line.length > MOST_MESSAGE ? `${line.slice(0, MOST_MESSAGE)}...` : line);
}
