/** The receivers of OTLP that `psample export` sends metrics to: their options, how they are opened, and what they have to say. */
import { type OtlpSink, SharedMetrics } from "../mod.ts";
import { otlpToWith } from "../src/sink/otlp.ts";
import { otlpUrlText, parseOtlpUrl, shownUrl } from "../src/sink/otlp_url.ts";
import type { MetricsSourceOptions } from "../src/sink/shared_metrics.ts";
import type { Sys } from "../src/sys/sys.ts";
import { printable } from "../src/wire/text.ts";
import { failureText } from "./failure.ts";
import type { OpenSinks } from "./open_sinks.ts";
import { asUsage, choice, duration, longName, several, UsageError, type Values } from "./options.ts";
import type { Session } from "./session.ts";
import { byReason, plural } from "./summary.ts";
import { VERSION } from "./version.ts";

const INTERVAL_MS = 60_000;
const LEAST_INTERVAL_MS = 1000;

/** The options about OTLP. */
export const OTLP_OPTIONS = {
  otlp: several({
    value: "URL",
    // A key in its query.
    secret: true,
    help: "send metrics to this OTLP receiver; may be repeated",
    details:
      "An OpenTelemetry collector, Prometheus, VictoriaMetrics or a hosted service, by OTLP/HTTP: http://192.0.2.9 is port 4318 and " +
      "/v1/metrics, https://otlp.example.net is port 443. NODE_EXTRA_CA_CERTS=FILE in the environment adds your own certificate " +
      "authority. The metrics are those of --prometheus, under OpenTelemetry's names; sums are cumulative, so an undelivered report " +
      "loses nothing. --netns does not apply: it sends from the namespace that psample was started in. On Deno it requires --allow-net.",
  }, parseUrls),
  interval: duration({
    value: "TIME",
    default: INTERVAL_MS,
    fallback: "60s",
    help: "how often --otlp sends, from 1s",
    details:
      "Each interval is randomly up to a quarter shorter; the first report comes after a random part of it, and the last one at the end, " +
      "within a second. A report is skipped, and counted, if the one before is still being sent when it is due, if the receiver has " +
      "asked for a pause, or if making reports this often would use more than a twentieth of a processor because there are many series.",
  }),
  otlpEncoding: choice(["protobuf", "json"], {
    value: "HOW",
    default: "protobuf",
    help: "how --otlp encodes: protobuf or json",
    details: "Every receiver accepts protobuf; VictoriaMetrics accepts nothing else.",
  }),
  otlpHeader: several({
    value: "NAME=VALUE",
    secret: true,
    help: "send this header with --otlp; may be repeated",
    details: "For credentials: Authorization=Bearer TOKEN. psample never prints it, but everybody on this machine can read the command " +
      "line: keep it in a file for --config that only its owner can read.",
  }, (texts, option) => pairs(texts, option, "Authorization=Bearer TOKEN", (name) => name.toLowerCase())),
  otlpResource: several({
    value: "NAME=VALUE",
    help: "describe this exporter to --otlp; may be repeated",
    details: "An attribute of the resource, such as deployment.environment.name=lab. It replaces the default, if there is one: " +
      "service.name=psample, service.version, host.name, and service.instance.id, which is random. Prometheus turns the last into a " +
      "label, so a value that does not change keeps the series across a restart. Without VALUE an attribute is left out.",
  }, (texts, option) => pairs(texts, option, "service.instance.id=edge1")),
};

/** The values of {@linkcode OTLP_OPTIONS}. */
export type OtlpValues = Values<typeof OTLP_OPTIONS>;

function parseUrls(texts: readonly string[], option: string): readonly string[] {
  const urls = texts.map((text) => asUsage(option, shownUrl(text), () => parseOtlpUrl(text)).href);
  const again = urls.findIndex((url, i) => urls.indexOf(url) < i);
  if (again >= 0) throw new UsageError(`${option} was given twice for ${new URL(urls[again]!).origin}`);
  return texts;
}

/** Names and values. Values may be secret, and are in no message. Two names are the same if `canonical` makes them so. */
function pairs(
  texts: readonly string[],
  option: string,
  example: string,
  canonical = (name: string): string => name,
): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  const known = new Map<string, string>();
  for (const text of texts) {
    const [, name, value] = /^([^=\s]+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined) throw new UsageError(`${option} is not NAME=VALUE: expected such as ${JSON.stringify(example)}`);
    const other = known.get(canonical(name));
    if (other === name) throw new UsageError(`${option} was given twice for ${name}`);
    if (other !== undefined) throw new UsageError(`${option} was given twice for ${name}: ${other} is the same`);
    known.set(canonical(name), name);
    values[name] = value!;
  }
  return values;
}

/** What the options mean, a line for each receiver. Values of headers may be secret. */
export function meaningOfOtlp({ otlp = [], interval, otlpEncoding, otlpHeader }: OtlpValues): readonly string[] {
  const headers = otlpHeader ? `, with the header ${Object.keys(otlpHeader).join(", ")}` : "";
  const how = `every ${interval / 1000} s, in ${otlpEncoding === "json" ? "JSON" : otlpEncoding}${headers}`;
  return otlp.map((url) => `send metrics by OTLP to ${printable(otlpUrlText(parseOtlpUrl(url)))} ${how}`);
}

/** Refuses options that have no effect, or not the one that is meant. */
export function checkOtlp({ otlp, interval }: OtlpValues, given: ReadonlySet<string>): void {
  const lone = (["interval", "otlpEncoding", "otlpHeader", "otlpResource"] as const).find((name) => given.has(name));
  if (!otlp && lone !== undefined) throw new UsageError(`${longName(lone)} requires --otlp`, { keys: [lone] });
  if (interval < LEAST_INTERVAL_MS) throw new UsageError("--interval must be at least 1s", { keys: ["interval"] });
}

/** The numbers that metrics show, once for all that show them; `undefined` if nothing does. */
export function sharedNumbers(
  { prometheus, otlp, top, by }: Pick<OtlpValues, "otlp"> & {
    readonly prometheus: string | undefined;
    readonly top: number | undefined;
    readonly by: string | undefined;
  },
  about: Omit<MetricsSourceOptions, "top" | "by" | "version">,
  before: SharedMetrics | undefined,
): SharedMetrics | undefined {
  if (prometheus === undefined && !otlp) return undefined;
  return before ?? new SharedMetrics({ ...about, top, by, version: VERSION });
}

/** Opens a sink for each receiver. */
export async function openOtlp(
  sys: Sys,
  { otlp = [], interval: intervalMs, otlpEncoding: encoding, otlpHeader: headers, otlpResource: resource }: OtlpValues,
  numbers: SharedMetrics | undefined,
  session: Session,
  opening: OpenSinks,
): Promise<readonly OtlpSink[]> {
  const sinks: OtlpSink[] = [];
  for (const url of numbers ? otlp : []) {
    const sink = await opening.take(["OTLP", url, intervalMs, encoding, headers, resource], async () => {
      const sink: OtlpSink = await otlpToWith(sys, url, {
        numbers: numbers!,
        intervalMs,
        encoding,
        headers,
        resource,
        onProblem: (error) => session.notice(failureText(error) ?? error.message),
        onRecovery: () => session.notice(`${sink.name} accepts reports again`),
      });
      return sink;
    });
    sinks.push(sink);
  }
  return sinks;
}

/** What was sent to a receiver. */
export function reportedTo({ reports }: OtlpSink): string {
  const { sent, failed, failedBy, skipped, rejectedPoints } = reports;
  const parts = [`${plural(sent, "report")} sent`];
  if (failed > 0) {
    parts.push(`${failed} not delivered (${byReason(failedBy)})`);
  }
  if (skipped > 0) parts.push(`${skipped} skipped`);
  if (rejectedPoints > 0) parts.push(`${plural(rejectedPoints, "point")} rejected`);
  return parts.join(", ");
}

/** Sends one report to each receiver, and says what became of it. */
export async function checkReceivers(sinks: readonly OtlpSink[], print: (line: string) => Promise<void>, session: Session): Promise<void> {
  await session.unlessOver(Promise.all(sinks.map(async (sink) => {
    if (await sink.report()) await print(`${sink.name}: ${reportedTo(sink)}, and accepted\n`);
    else session.fail(`${sink.name}: ${reportedTo(sink)}`);
  })));
}
