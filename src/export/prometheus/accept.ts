/** Which text format a scraper gets, by its `Accept` header (RFC 9110, sections 12.4.2 and 12.5.1). */

/**
 * The text formats: version 0.0.4 of Prometheus' own, and version 1.0.0 of OpenMetrics.
 *
 * @category Export
 */
export type ExpositionFormat = "text" | "openmetrics";

/**
 * What a body in each format is called.
 *
 * @category Export
 */
export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** What is known of each format by a name: its type, and its version. */
const NAMES: Readonly<Record<ExpositionFormat, readonly [type: string, version: string]>> = {
  text: ["text/plain", "0.0.4"],
  openmetrics: ["application/openmetrics-text", "1.0.0"],
};

/** A range of media types, and how much it is wanted. */
interface MediaRange {
  readonly type: string;
  readonly version: string | undefined;
  readonly quality: number;
}

/** RFC 9110, section 12.4.2. */
const QUALITY = /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/;

function rangesOf(accept: string): MediaRange[] {
  return accept.split(",").flatMap((text) => {
    const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
    if (!/^[^/\s]+\/[^/\s]+$/.test(type)) return [];
    const value = (name: string): string | undefined =>
      parameters.find((parameter) => parameter.startsWith(`${name}=`))?.slice(name.length + 1).replace(/^"(.*)"$/, "$1");
    const q = value("q") ?? "1";
    return [{ type, version: value("version"), quality: QUALITY.test(q) ? Number(q) : 0 }];
  });
}

/** How much a format is wanted, and how exactly that was said: by its version, its type, the kind of type, or for all types. */
function wish(ranges: readonly MediaRange[], format: ExpositionFormat): { readonly quality: number; readonly precision: number } {
  const [type, version] = NAMES[format];
  let best = { quality: 0, precision: 0 };
  for (const range of ranges) {
    const isKind = range.type === type.replace(/\/.*/, "/*");
    const precision = range.type === type
      ? range.version === undefined ? 3 : range.version === version ? 4 : 0
      : isKind
      ? 2
      : range.type === "*/*"
      ? 1
      : 0;
    if (precision > best.precision) best = { quality: range.quality, precision };
  }
  return best;
}

/**
 * The format for a request with this `Accept` header: the preferred one, or if both are preferred equally, the one that is named more
 * precisely. Without the header, or if it accepts neither, it is the text format, which every scraper reads.
 *
 * @category Export
 */
export function chooseFormat(accept: string | undefined): ExpositionFormat {
  const ranges = rangesOf(accept ?? "");
  const text = wish(ranges, "text");
  const openmetrics = wish(ranges, "openmetrics");
  if (openmetrics.quality !== text.quality) return openmetrics.quality > text.quality ? "openmetrics" : "text";
  return openmetrics.quality > 0 && openmetrics.precision > text.precision ? "openmetrics" : "text";
}
