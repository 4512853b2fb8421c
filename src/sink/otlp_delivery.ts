/**
 * Delivers reports by OTLP/HTTP: what is tried again and when, as the specification has it (opentelemetry-proto, docs/specification.md,
 * "OTLP/HTTP Response"). Only 429, 502, 503, 504 and failed connections are tried again; everything else is final.
 *
 * @module
 */
import { HttpError, LookupError, SystemError } from "../errors.ts";
import { readOtlpAnswer, shortened, withoutSecrets } from "../export/otlp/answer.ts";
import type { OtlpRequest } from "../export/otlp/encoder.ts";
import type { HttpClient, HttpReply } from "../sys/http_client.ts";

/** How requests are sent. */
export interface OtlpDeliveryOptions {
  readonly client: Pick<HttpClient, "post" | "cancel">;
  /** The URL for people. */
  readonly url: string;
  readonly contentType: string;
  /** Texts that are never shown, even if the receiver repeats them. */
  readonly secrets: readonly string[];
  /** How long a request may take. */
  readonly timeoutMs: number;
  /** The first delay before trying again; each further one is twice as long. */
  readonly backoffMs: number;
  /** From 0 to less than 1. */
  readonly random: () => number;
  /** Called when the second attempt in a row has failed: one alone may be a connection that had been idle for too long. */
  readonly onTrouble: (error: Error) => void;
}

/** What became of a report. */
export interface Delivered {
  /** Why it was not delivered; `undefined` if it was. */
  readonly error: Error | undefined;
  /** Points that the receiver rejected of what it accepted otherwise. */
  readonly rejected: number;
  /** What it said about that. */
  readonly message: string;
}

const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const MOST_BACKOFF_MS = 30_000;
/** For how long a receiver may ask to be left alone. */
const MOST_HOLD_MS = 3_600_000;
/** What becomes of a request on a connection that the server has just closed. */
const CLOSED: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE"]);
/** What helps, by status. */
const CURES: Readonly<Record<number, string>> = {
  401: "It requires a header with credentials, or different credentials",
  403: "It requires a header with credentials, or different credentials",
  404: "The path of the URL may be wrong: give that of the receiver, such as /v1/metrics",
  405: "The path of the URL may be wrong: give that of the receiver, such as /v1/metrics",
  413: "The receiver does not accept reports of this size",
  415: "It may accept only the other encoding",
};

/** Sends reports to one receiver, one at a time. */
export class OtlpDelivery {
  readonly #options: OtlpDeliveryOptions;
  /** Until when the receiver wants to be left alone, by the steady clock. */
  #notBeforeMs = -Infinity;
  /** Failed attempts in a row, and why the last one failed. */
  #failures = 0;
  #lastError: Error | undefined;
  /** What is being sent. */
  #report = { isCancelled: false };
  #wake = (): void => {};

  /** A delivery to one receiver. */
  constructor(options: OtlpDeliveryOptions) {
    this.#options = options;
  }

  /** Why the last attempt failed; `undefined` if it did not, or there was none. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** Whether the receiver asked to be left alone for longer than until this time. */
  isHeldOff(nowMs: number): boolean {
    return nowMs < this.#notBeforeMs;
  }

  /**
   * Sends the requests of a report, one after the other.
   *
   * @param untilMs When to give up, by the steady clock: no attempt begins after that, except for the first.
   * @param lastMs If nothing comes later: how long the receiver may take for all of it, from the first attempt on.
   */
  async send(requests: readonly OtlpRequest[], untilMs: number, lastMs?: number): Promise<Delivered> {
    let rejected = 0;
    let message = "";
    const report = this.#report = { isCancelled: false };
    for (const [i, { body }] of requests.entries()) {
      const packed = await gzip(body);
      if (lastMs !== undefined && i === 0) untilMs = performance.now() + lastMs;
      const sent = await this.#deliver(report, packed, untilMs, lastMs !== undefined);
      if (sent.error) return { ...sent, rejected };
      rejected += sent.rejected;
      message ||= sent.message;
    }
    return { error: undefined, rejected, message };
  }

  /** Gives up what is being sent. */
  cancel(): void {
    this.#report.isCancelled = true;
    this.#wake();
    this.#options.client.cancel();
  }

  async #deliver(
    report: { readonly isCancelled: boolean },
    body: Uint8Array,
    untilMs: number,
    isLast: boolean,
  ): Promise<Delivered> {
    const { client, contentType, secrets, timeoutMs, onTrouble } = this.#options;
    for (let attempt = 0;; attempt++) {
      if (report.isCancelled) return { error: new HttpError("The report was cancelled", undefined), rejected: 0, message: "" };
      let failure: Error;
      let afterMs: number | undefined;
      let isFinal = false;
      try {
        const limitMs = isLast ? Math.max(1, Math.min(timeoutMs, untilMs - performance.now())) : timeoutMs;
        const reply = await client.post(body, { "Content-Type": contentType, "Content-Encoding": "gzip" }, limitMs);
        const { status } = reply;
        const { rejected, message } = readOtlpAnswer(reply.body, reply.type, status === 200, secrets);
        if (status >= 200 && status < 300) {
          this.#failures = 0;
          this.#lastError = undefined;
          return { error: undefined, rejected, message };
        }
        failure = this.#refusal(reply, message);
        isFinal = !RETRYABLE.has(status);
        afterMs = isFinal ? undefined : retryAfterMs(reply.retryAfter);
      } catch (error) {
        failure = error as Error;
        // What is wrong with a certificate does not change from one second to the next.
        isFinal = !(error instanceof SystemError || error instanceof LookupError);
      }
      // That it was cancelled says nothing about the receiver.
      if (report.isCancelled) return { error: failure, rejected: 0, message: "" };
      const nowMs = performance.now();
      this.#failures++;
      this.#lastError = failure;
      if (afterMs !== undefined) this.#notBeforeMs = nowMs + Math.min(afterMs, MOST_HOLD_MS);
      // Who says 0, or a date that is past by this clock, is not asked again and again.
      const waitMs = Math.max(afterMs ?? 0, this.#backoffMs(attempt, failure));
      if (isFinal || nowMs + waitMs >= untilMs) return { error: failure, rejected: 0, message: "" };
      if (this.#failures === 2) onTrouble(failure);
      await this.#pause(waitMs);
    }
  }

  /**
   * Exponential, up to half a minute, and from half of that on at random: those that were refused together do not come back together. A
   * connection that the server closed is opened again at once: it had been idle for too long.
   */
  #backoffMs(attempt: number, failure: Error): number {
    const { backoffMs, random } = this.#options;
    if (attempt === 0 && failure instanceof SystemError && CLOSED.has(failure.code)) return 0;
    return Math.min(MOST_BACKOFF_MS, backoffMs * 2 ** attempt) * (0.5 + random() / 2);
  }

  async #pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
  }

  #refusal({ status, location }: HttpReply, message: string): HttpError {
    const { url, secrets } = this.#options;
    const where = status >= 300 && status < 400 && location !== undefined
      ? ` to ${shortened(withoutQuery(withoutSecrets(location, secrets)))}`
      : "";
    const cure = where === "" ? CURES[status] : "Redirects are not followed: give the final URL";
    const said = message === "" ? "" : `: ${message}`;
    return new HttpError(`Cannot send to ${url}: it answered ${status}${where}${said}${cure ? `. ${cure}` : ""}`, status);
  }
}

/** How long to wait by `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. `undefined` if it says neither. */
export function retryAfterMs(value: string | undefined, nowMs: number = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return 1000 * Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/s, "");
}

async function gzip(body: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const packed = new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}
