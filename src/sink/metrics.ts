/** A sink that keeps numbers, and serves them to Prometheus and to people. */
import { ArgumentError } from "../errors.ts";
import { chooseFormat, CONTENT_TYPES, type ExpositionFormat } from "../export/prometheus/accept.ts";
import type { MetricsOptions } from "../export/prometheus/metrics.ts";
import { metricsPage, PAGE_POLICY, PAGE_STYLE } from "../export/prometheus/page.ts";
import type { Batch } from "../stream/batch.ts";
import { nowNs } from "../stream/clock.ts";
import type { Sink } from "../stream/sink.ts";
import { type HttpAnswer, type HttpLimits, type HttpRequest, type HttpServer, sentence, serveHttp } from "../sys/http_server.ts";
import { loadSys } from "../sys/load.ts";
import type { Sys } from "../sys/sys.ts";
import { isAllowedHost, parseListenAddress, urlOf } from "./listen_address.ts";
import { REST } from "./rest.ts";
import { type MetricsSourceOptions, SharedMetrics } from "./shared_metrics.ts";

/**
 * How {@linkcode metricsTo} serves.
 *
 * @category Export
 */
export interface MetricsServeOptions {
  /**
   * Names of this machine that scrapers use, besides its addresses and `localhost`. Requests for any other name are refused, so that no web
   * page can read this through the browser of somebody who can. Defaults to none.
   */
  readonly hosts?: readonly string[] | undefined;
}

/**
 * How to {@linkcode metricsTo}: what the numbers are about, or the numbers of another sink of the same pump.
 *
 * @category Export
 */
export type MetricsToOptions = MetricsServeOptions & (MetricsSourceOptions | { readonly numbers: SharedMetrics });

/**
 * A sink that serves metrics by HTTP, until it is closed.
 *
 * @category Export
 */
export interface MetricsServer extends Sink {
  /**
   * From now on, shows these flows and answers to these names. If the keys change, counting of flows starts again; all other counters
   * continue.
   *
   * @throws {ArgumentError} if an option is invalid; then nothing changes.
   */
  configure(options: MetricsServeOptions & Pick<MetricsOptions, "top" | "by">): void;
  /**
   * Where the page for people is: `"http://127.0.0.1:9410/"`. The metrics are at `metrics` below it, and `healthz` says that it is alive.
   */
  readonly url: string;
  /** Its numbers, for other sinks of the same pump that show them too. */
  readonly numbers: SharedMetrics;
}

/** What is only for tests. */
interface Internals {
  readonly limits?: Partial<HttpLimits> | undefined;
}

/** Names without any host in them, and everything else that a header takes. */
const HOST_NAME = /^[A-Za-z0-9._-]{1,253}$/;

/**
 * A sink that keeps metrics of samples and serves them to Prometheus, for {@linkcode pump}: in its text format or in OpenMetrics, whichever
 * is asked for. There is also a page for people.
 *
 * It never delays anything: a request is answered at once, and its client has limited time to read the answer. On Deno it requires net
 * access.
 *
 * @example Serve metrics of what is sampled, for a second
 * ```ts ignore
 * import { listen, metricsTo, pump, watchLinks } from "@psample/psample";
 *
 * using devices = await watchLinks();
 * const source = await listen({ events: false, devices });
 * const metrics = await metricsTo("127.0.0.1:0", { source, devices, top: 10, by: "ipsource,ipdestination" });
 * console.log(`scrape ${metrics.url}metrics`);
 * await pump(source, [], [metrics], { durationMs: 1000 });
 * ```
 *
 * @param listenOn Where to listen: a port, on this machine only (127.0.0.1); or an address and a port, `"192.0.2.1:9410"`, `"[::]:9410"`. Port
 * 0 is any free one. There is no password: anybody who can reach that address can read the metrics.
 * @throws {ArgumentError} if the address or an option is invalid.
 * @throws {SystemError} if nothing can listen there.
 * @category Export
 */
export async function metricsTo(listenOn: string | number, options: MetricsToOptions): Promise<MetricsServer> {
  return await metricsToWith(await loadSys(), listenOn, options);
}

/** {@linkcode metricsTo} on a given seam. */
export async function metricsToWith(
  sys: Sys,
  listenOn: string | number,
  options: MetricsToOptions,
  { limits }: Internals = {},
): Promise<MetricsServer> {
  const { address, port } = parseListenAddress(`${listenOn}`);
  checkHosts(options.hosts);
  const endpoint = new MetricsEndpoint(options);
  const onFailure = (error: unknown): void => endpoint.fail(error);
  endpoint.serve(address, await serveHttp(sys, { address, port, answer: (request) => endpoint.answer(request), onFailure, limits }));
  return endpoint;
}

function checkHosts(hosts: MetricsToOptions["hosts"]): void {
  const wrong = hosts?.find((host) => !HOST_NAME.test(host));
  if (wrong !== undefined) throw new ArgumentError(`Cannot serve under the name ${JSON.stringify(wrong)}: it is not the name of a host`);
}

/** An answer that was made, when, and how long that took, in milliseconds of the steady clock. */
interface Made {
  readonly answer: HttpAnswer;
  readonly atMs: number;
  readonly tookMs: number;
}

class MetricsEndpoint implements MetricsServer {
  name = "Prometheus";
  url = "";
  written = 0;
  readonly skipped = 0;
  readonly ended: Promise<unknown>;
  readonly numbers: SharedMetrics;
  #hosts: readonly string[];
  readonly #made = new Map<string, Made>();
  #server: HttpServer | undefined;
  #end: (error: unknown) => void = () => {};

  constructor(options: MetricsToOptions) {
    this.#hosts = options.hosts ?? [];
    this.numbers = "numbers" in options ? options.numbers : new SharedMetrics(options);
    this.ended = new Promise((resolve) => this.#end = resolve);
  }

  serve(address: string, server: HttpServer): void {
    this.#server = server;
    this.url = urlOf({ address, port: server.port });
    this.name = `Prometheus at ${this.url}`;
    // Not before: if nothing can listen there, it is given no samples, and must not be the one that counts them.
    this.numbers.join(this);
  }

  configure({ top, by, hosts }: MetricsServeOptions & Pick<MetricsOptions, "top" | "by">): void {
    checkHosts(hosts);
    this.numbers.metrics.show({ top, by });
    this.#hosts = hosts ?? [];
    this.#made.clear();
  }

  take(batch: Batch): void {
    this.numbers.take(this, batch);
    this.written += batch.samples;
  }

  full(): undefined {}

  flush(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.numbers.leave(this);
    await this.#server?.close();
  }

  abort(): void {
    this.numbers.leave(this);
    void this.#server?.close();
  }

  fail(error: unknown): void {
    this.abort();
    this.#end(error);
  }

  /** Answers a request. */
  answer({ path, host, accept }: HttpRequest): HttpAnswer {
    if (!isAllowedHost(host, this.#hosts)) {
      return sentence(403, "This server is not known by the name in the Host header. Use its address, or allow the name.");
    }
    if (path === "/metrics") {
      const format = chooseFormat(accept);
      return this.#fresh(format, () => this.#text(format));
    }
    if (path === "/healthz") return sentence(200, "ok");
    if (path === "/") return this.#fresh("page", () => this.#page());
    if (path === "/style.css") return made("text/css; charset=utf-8", PAGE_STYLE);
    return sentence(404, "There is nothing here: see / and /metrics.");
  }

  #text(format: ExpositionFormat): HttpAnswer {
    return made(CONTENT_TYPES[format], this.numbers.metrics.text(format, nowNs(), this.numbers.state()), { Vary: "Accept" });
  }

  #page(): HttpAnswer {
    const [now, state] = [nowNs(), this.numbers.state()];
    const page = metricsPage(this.numbers.metrics.snapshot(now, state), state, now);
    return made("text/html; charset=utf-8", page, { "Content-Security-Policy": PAGE_POLICY, "Referrer-Policy": "no-referrer" });
  }

  /** The answer that was made last, unless that is long ago compared with the time that making it took. */
  #fresh(name: string, make: () => HttpAnswer): HttpAnswer {
    const nowMs = performance.now();
    const last = this.#made.get(name);
    if (last && nowMs - last.atMs < REST * last.tookMs) return last.answer;
    const answer = make();
    const atMs = performance.now();
    this.#made.set(name, { answer, atMs, tookMs: atMs - nowMs });
    return answer;
  }
}

function made(type: string, text: string, headers?: HttpAnswer["headers"]): HttpAnswer {
  return { status: 200, type, body: new TextEncoder().encode(text), headers };
}
