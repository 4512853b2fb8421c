/** A sink that keeps numbers, and sends them to a receiver of OTLP from time to time. */
import { ArgumentError, HttpError } from "../errors.ts";
import { hostName } from "../control/host_counters.ts";
import { OtlpEncoder, type OtlpEncoding } from "../export/otlp/encoder.ts";
import type { Batch } from "../stream/batch.ts";
import { LONGEST_TIMER_MS, nowNs } from "../stream/clock.ts";
import { jittered } from "../stream/jitter.ts";
import type { Sink } from "../stream/sink.ts";
import { HttpClient } from "../sys/http_client.ts";
import { loadSys } from "../sys/load.ts";
import type { Sys } from "../sys/sys.ts";
import { OtlpDelivery } from "./otlp_delivery.ts";
import { otlpUrlText, parseOtlpUrl } from "./otlp_url.ts";
import { Rest } from "./rest.ts";
import { type MetricsSourceOptions, SharedMetrics } from "./shared_metrics.ts";

/**
 * How {@linkcode otlpTo} sends.
 *
 * @category Export
 */
export interface OtlpSendOptions {
  /**
   * The maximum interval in milliseconds: each one is randomly up to a quarter shorter, and the first report comes after a random part of
   * it. Defaults to 60,000, as everywhere in OpenTelemetry.
   */
  readonly intervalMs?: number | undefined;
  /** Defaults to `"protobuf"`: every receiver accepts it, and some accept nothing else. */
  readonly encoding?: OtlpEncoding | undefined;
  /** Headers of every request, such as `{ Authorization: "Bearer ..." }`. They never appear in error messages. Defaults to none. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Attributes of the resource, in addition to or instead of `service.name` (`"psample"`), `service.version`, `host.name` and
   * `service.instance.id`, which is random and the same for a whole process. An empty one leaves an attribute out. Defaults to none.
   */
  readonly resource?: Readonly<Record<string, string>> | undefined;
  /** Certificates of trusted authorities, in PEM, to verify the receiver with. Defaults to those that the runtime trusts. */
  readonly certificates?: string | undefined;
  /**
   * Called once when a problem begins, such as a receiver that is down, or that rejects some of the numbers; not again until it has
   * recovered. Sending continues.
   */
  readonly onProblem?: ((error: Error) => void) | undefined;
  /** Called when the problem is over. */
  readonly onRecovery?: (() => void) | undefined;
}

/**
 * How to {@linkcode otlpTo}: what the numbers are about, or the numbers of another sink of the same pump.
 *
 * @category Export
 */
export type OtlpToOptions = OtlpSendOptions & (MetricsSourceOptions | { readonly numbers: SharedMetrics });

/**
 * What became of the reports of a sink. A report has all numbers of a moment.
 *
 * @category Export
 */
export interface ReportCounts {
  /** Reports that the receiver accepted. */
  readonly sent: number;
  /** Reports that could not be delivered: later ones have newer numbers of the same. */
  readonly failed: number;
  /** How many failed by each error or status: `{ ECONNREFUSED: 3, "503": 1 }`. */
  readonly failedBy: Readonly<Record<string, number>>;
  /**
   * Reports that were not made, because the previous one was still being sent, previous ones had taken long to make, or the receiver asked
   * for a pause.
   */
  readonly skipped: number;
  /** Points that the receiver rejected from reports that it accepted. */
  readonly rejectedPoints: number;
}

/**
 * A sink that sends metrics by OTLP.
 *
 * @category Export
 */
export interface OtlpSink extends Sink {
  /** Samples that are in numbers which the receiver has accepted. */
  readonly written: number;
  /** Samples that are in no such numbers at the end. */
  readonly skipped: number;
  /** The reports so far. */
  readonly reports: ReportCounts;
  /** Its numbers, for other sinks of the same pump that show them too. */
  readonly numbers: SharedMetrics;
  /**
   * Sends the current numbers now, without retrying; resolves to whether they were accepted. If not, `onProblem` is called with the reason.
   */
  report(): Promise<boolean>;
  /** Looks the host name up again for the next report. This is also done after a failure. */
  renew(): void;
}

/** What can be different in tests. */
interface Internals {
  readonly timeoutMs?: number;
  readonly backoffMs?: number;
  readonly maxBytes?: number;
  readonly lastMs?: number;
  readonly random?: () => number;
}

const INTERVAL_MS = 60_000;
/** The time-out of OpenTelemetry's exporters. */
const TIMEOUT_MS = 10_000;
const BACKOFF_MS = 1000;
/** How long a receiver may take for the last report: who stops a service does not want to wait. */
const LAST_MS = 900;
/** RFC 9110, sections 5.1 and 5.5, without characters that are no ASCII. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;
/** Headers that say how a body is sent. */
const OWN_HEADERS = ["content-type", "content-encoding", "content-length", "transfer-encoding", "connection", "host"];
/** What distinguishes this process from all others: the same for all receivers, also for later ones. */
let instance: string | undefined;
/** Shorter texts than this are too common to be secret. */
const LEAST_SECRET = 6;

/**
 * A sink that keeps metrics of samples and sends them to a receiver of OTLP, by HTTP, for {@linkcode pump}: to an OpenTelemetry collector,
 * Prometheus, VictoriaMetrics or a hosted service. They are the numbers that {@linkcode metricsTo} serves, with OpenTelemetry's names.
 *
 * It never delays anything. Sums are cumulative, so an undelivered report loses nothing but one point in time: the next one contains the
 * sums. On Deno it requires net access.
 *
 * @example Send metrics of what is sampled to a collector, for a second
 * ```ts ignore
 * import { listen, otlpTo, pump, watchLinks } from "@psample/psample";
 *
 * using devices = await watchLinks();
 * const source = await listen({ events: false, devices });
 * const otlp = await otlpTo("http://127.0.0.1:4318", { source, devices, intervalMs: 500, onProblem: console.error });
 * await pump(source, [], [otlp], { durationMs: 1000 });
 * console.log(`${otlp.reports.sent} reports sent`);
 * ```
 *
 * @param url Where to send to: `"http://192.0.2.9"`, port 4318 and `/v1/metrics` unless it has others; `"https://..."` is port 443.
 * @throws {ArgumentError} if the URL or an option is invalid.
 * @category Export
 */
export async function otlpTo(url: string, options: OtlpToOptions): Promise<OtlpSink> {
  return await otlpToWith(await loadSys(), url, options);
}

/** {@linkcode otlpTo} on a given seam. */
export async function otlpToWith(sys: Sys, text: string, options: OtlpToOptions, internals: Internals = {}): Promise<OtlpSink> {
  const url = parseOtlpUrl(text);
  const { headers = {}, certificates, intervalMs = INTERVAL_MS } = options;
  checkHeaders(headers);
  if (!(intervalMs >= 1 && intervalMs <= LONGEST_TIMER_MS)) {
    throw new ArgumentError(`Cannot send every ${intervalMs} milliseconds: expected 1 to ${LONGEST_TIMER_MS}`);
  }
  const numbers = "numbers" in options ? options.numbers : new SharedMetrics(options);
  const client = await HttpClient.open(sys, { url, headers: { "User-Agent": userAgent(numbers.version), ...headers }, certificates });
  const resource = { "host.name": hostName(sys), ...options.resource };
  return new MetricsPusher(url, client, numbers, { ...options, headers, intervalMs, resource }, internals);
}

/** Refuses headers that cannot be sent. Their values are secrets, and in no message. */
function checkHeaders(headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    const wrong = !HEADER_NAME.test(name)
      ? "that is not the name of a header"
      : OWN_HEADERS.includes(name.toLowerCase())
      ? "it is set automatically"
      : !HEADER_VALUE.test(value)
      ? "its value has characters that no header can have"
      : undefined;
    if (wrong !== undefined) throw new ArgumentError(`Cannot send the header ${JSON.stringify(name)}: ${wrong}`);
  }
}

/** What is secret in headers and in the query of a URL, the longest first: one may be a part of another. */
function secretsOf({ search, searchParams }: URL, headers: Readonly<Record<string, string>>): readonly string[] {
  const queries = [...searchParams.values(), ...search.slice(1).split("&").map((pair) => pair.slice(pair.indexOf("=") + 1))];
  const values = Object.values(headers).flatMap((value) => [value, ...value.split(/\s+/)]);
  return [...values, ...queries].filter(({ length }) => length >= LEAST_SECRET).sort((one, other) => other.length - one.length);
}

function userAgent(version: string | undefined): string {
  return `psample${version === undefined ? "" : `/${version}`}`;
}

class MetricsPusher implements OtlpSink {
  readonly name: string;
  written = 0;
  skipped = 0;
  readonly ended: Promise<unknown>;
  readonly numbers: SharedMetrics;
  readonly #delivery: OtlpDelivery;
  readonly #client: HttpClient;
  readonly #encoder: OtlpEncoder;
  readonly #options: OtlpSendOptions;
  readonly #intervalMs: number;
  readonly #lastMs: number;
  readonly #random: () => number;
  readonly #counts = { sent: 0, failed: 0, failedBy: {} as Record<string, number>, skipped: 0, rejectedPoints: 0 };
  #taken = 0;
  /** The report that is being sent. */
  #sending: Promise<boolean> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs: number;
  readonly #rest = new Rest();
  #isTroubled = false;
  #isOver = false;
  #isAborted = false;
  /** Whether the last report is still to be delivered. */
  #isLastDue = false;
  #end: (error: unknown) => void = () => {};

  constructor(
    url: URL,
    client: HttpClient,
    numbers: SharedMetrics,
    options: OtlpSendOptions & { readonly headers: Readonly<Record<string, string>>; readonly intervalMs: number },
    { timeoutMs = TIMEOUT_MS, backoffMs = BACKOFF_MS, lastMs = LAST_MS, maxBytes, random = Math.random }: Internals,
  ) {
    const { headers, intervalMs, encoding, resource } = options;
    const text = otlpUrlText(url);
    this.name = `OTLP ${text}`;
    // It has no end but the pump's, unless there is a bug.
    this.ended = new Promise((resolve) => this.#end = resolve);
    this.numbers = numbers;
    this.#client = client;
    this.#options = options;
    this.#intervalMs = intervalMs;
    this.#lastMs = lastMs;
    const { version } = numbers;
    this.#encoder = new OtlpEncoder(numbers.metrics, {
      encoding,
      version,
      maxBytes,
      resource: {
        "service.name": "psample",
        "service.version": version ?? "",
        "service.instance.id": instance ??= crypto.randomUUID(),
        ...resource,
      },
    });
    this.#delivery = new OtlpDelivery({
      client,
      url: text,
      contentType: this.#encoder.contentType,
      secrets: secretsOf(url, headers),
      timeoutMs,
      backoffMs,
      random,
      onTrouble: (error) => this.#trouble(error),
    });
    numbers.join(this);
    // A thousand that were started together do not send together.
    this.#random = random;
    this.#dueMs = performance.now() + random() * jittered(intervalMs, random);
    this.#schedule();
  }

  get reports(): ReportCounts {
    return { ...this.#counts, failedBy: { ...this.#counts.failedBy } };
  }

  take(batch: Batch): void {
    this.numbers.take(this, batch);
    this.#taken += batch.samples;
  }

  full(): undefined {}

  flush(): Promise<void> {
    return Promise.resolve();
  }

  report(): Promise<boolean> {
    return this.#sending ?? this.#send(performance.now(), false);
  }

  renew(): void {
    this.#client.renew();
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = this.#isLastDue = true;
    clearTimeout(this.#timer);
    // It is given nothing more, and others may be: from now on they count.
    this.numbers.leave(this);
    // What is on its way are older numbers.
    this.#delivery.cancel();
    await this.#sending;
    if (this.#isAborted) return;
    const isSent = await this.#send(Infinity, true);
    this.#isLastDue = false;
    if (!isSent) this.skipped = this.#taken - this.written;
    this.abort();
  }

  abort(): void {
    if (this.#isLastDue) this.#cutShort();
    this.#isOver = this.#isAborted = true;
    clearTimeout(this.#timer);
    this.numbers.leave(this);
    // Also what waits to be tried again.
    this.#delivery.cancel();
    this.#client.close();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => this.#due(), Math.max(0, this.#dueMs - performance.now()));
  }

  #due(): void {
    const nowMs = performance.now();
    // After a suspension the time of several may have passed.
    const nextMs = this.#dueMs + jittered(this.#intervalMs, this.#random);
    this.#dueMs = nextMs > nowMs ? nextMs : nowMs + jittered(this.#intervalMs, this.#random);
    if (this.#sending || !this.#rest.isOver(nowMs) || this.#delivery.isHeldOff(nowMs)) this.#counts.skipped++;
    else this.#send(this.#dueMs, false).catch((error) => this.#end(error));
    this.#schedule();
  }

  /** Sends the present numbers. Resolves to whether they were accepted. */
  async #send(untilMs: number, isLast: boolean): Promise<boolean> {
    const sending = this.#sendNow(untilMs, isLast).finally(() => this.#sending = undefined);
    this.#sending = sending;
    return await sending;
  }

  async #sendNow(untilMs: number, isLast: boolean): Promise<boolean> {
    const taken = this.#taken;
    const startMs = performance.now();
    const requests = this.#encoder.encode(nowNs(), this.numbers.state());
    this.#rest.done(startMs, performance.now());
    const { error, rejected, message } = await this.#delivery.send(requests, untilMs, isLast ? this.#lastMs : undefined);
    const counts = this.#counts;
    // Cancelled: because nothing is waited for any more, or for newer numbers.
    if (this.#isAborted || (error && this.#isOver && !isLast)) return false;
    if (error) {
      this.#failed(codeOf(error));
      this.#trouble(error);
      return false;
    }
    counts.sent++;
    counts.rejectedPoints += rejected;
    this.written = taken;
    if (rejected > 0 || message !== "") {
      const what = rejected > 0 ? `rejects ${rejected} of the points` : "sent a message";
      this.#trouble(new HttpError(`${this.name} ${what}${message === "" ? "" : `: ${message}`}`, 200));
    } else if (this.#isTroubled) {
      this.#isTroubled = false;
      this.#options.onRecovery?.();
    }
    return true;
  }

  /** The last report is not waited for. */
  #cutShort(): void {
    this.#isLastDue = false;
    this.skipped = this.#taken - this.written;
    // Without samples that no report had, none is missed.
    if (this.skipped === 0) return;
    const error = this.#delivery.lastError;
    this.#failed(error ? codeOf(error) : "ECANCELED");
    if (error) this.#trouble(error);
  }

  #failed(code: string): void {
    this.#counts.failed++;
    this.#counts.failedBy[code] = (this.#counts.failedBy[code] ?? 0) + 1;
  }

  #trouble(error: Error): void {
    if (this.#isTroubled) return;
    this.#isTroubled = true;
    this.#options.onProblem?.(error);
  }
}

/** The error in a word, for counting: there are not many. */
function codeOf(error: Error): string {
  if (error instanceof HttpError && error.status !== undefined) return `${error.status}`;
  const { code } = (error instanceof HttpError ? error.cause ?? error : error) as { readonly code?: unknown };
  return typeof code === "string" ? code : error.name;
}
