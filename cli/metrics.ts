/** The metrics that `psample export` serves: their options, and how they are opened. */
import { type MetricsServer, metricsTo, type SharedMetrics } from "../mod.ts";
import { DEFAULT_KEYS } from "../src/estimate/mod.ts";
import { parseListenAddress } from "../src/sink/listen_address.ts";
import { KEY_OFFERS, parseKeys } from "./flow_keys.ts";
import { asUsage, longName, number, several, UsageError, value, type Values } from "./options.ts";

/** As many flows as metrics show at most. */
const MOST_TOP = 1000;

/** The options about metrics. */
export const METRICS_OPTIONS = {
  prometheus: value({
    value: "[ADDRESS:]PORT",
    help: "serve metrics to Prometheus on this port",
    details:
      "Prometheus scrapes http://ADDRESS:PORT/metrics, as text or OpenMetrics; / is a page for people, /healthz says ok. ADDRESS is " +
      "127.0.0.1 by default: give 192.0.2.1:9410 or [::]:9410 to let other machines connect, which needs no password. --netns does not " +
      "apply: it listens in the namespace that psample was started in. On Deno it requires --allow-net.",
  }, (text, option) => asUsage(option, text, () => (parseListenAddress(text), text))),
  prometheusHost: several({
    value: "NAME",
    help: "answer to this name too; may be repeated",
    details:
      "A name of this machine that Prometheus or a browser uses in the URL. Addresses and localhost always work; all other names are refused, " +
      "so that no web page can read the metrics through somebody's browser.",
  }, parseHosts),
  top: number({
    value: "N",
    least: 1,
    most: MOST_TOP,
    help: "add the N largest flows to the metrics",
    details: "Over about the last minute, as gauges with bounds. Addresses as labels create many series: keep N small.",
  }),
  by: value({
    value: "KEYS",
    offers: KEY_OFFERS,
    fallback: DEFAULT_KEYS,
    help: "what tells these flows apart, as in psample top",
    details: "Keys of psample top --by, separated by commas. They become labels.",
  }, parseKeys),
};

/** The values of {@linkcode METRICS_OPTIONS}. */
export type MetricsValues = Values<typeof METRICS_OPTIONS>;

function parseHosts(names: readonly string[], option: string): readonly string[] {
  const wrong = names.find((name) => !/^[A-Za-z0-9._-]{1,253}$/.test(name));
  if (wrong !== undefined) throw new UsageError(`${option} is ${JSON.stringify(wrong)}: expected the name of a host, without a port`);
  return names;
}

/** Refuses options that have no effect. */
export function checkMetrics({ prometheus, top }: MetricsValues, isPushed: boolean, given: ReadonlySet<string>): void {
  const lone = (["top", "by"] as const).find((name) => given.has(name));
  if (prometheus === undefined && !isPushed && lone !== undefined) {
    throw new UsageError(`${longName(lone)} requires --prometheus or --otlp`, { keys: [lone] });
  }
  if (prometheus === undefined && given.has("prometheusHost")) {
    throw new UsageError("--prometheus-host requires --prometheus", { keys: ["prometheusHost"] });
  }
  if (given.has("by") && top === undefined) throw new UsageError("--by requires --top", { keys: ["by"] });
}

/** Serves these numbers on a port. */
export async function openMetrics(
  prometheus: string,
  { prometheusHost: hosts }: Pick<MetricsValues, "prometheusHost">,
  numbers: SharedMetrics,
): Promise<MetricsServer> {
  return await metricsTo(prometheus, { numbers, hosts });
}
