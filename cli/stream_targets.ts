/** The collectors that `psample export` names by their transport, and what there is to say about those that it has a connection to. */
import type { ConnectionCounts, ExportSink } from "../mod.ts";
import { IPFIX_PORT, SFLOW_PORT } from "../src/sink/export.ts";
import { parseTarget, splitTransport, targetText } from "../src/socket/target.ts";
import { asUsage, size, SIZE_UNITS, UsageError, wrongValue } from "./options.ts";
import { plural } from "./summary.ts";

/** How much may wait for a collector, and the least that it can be. */
const SPOOL_BYTES = 4 << 20;
const LEAST_SPOOL = 1 << 17;

/** The options about collectors that there is a connection to. */
export const STREAM_OPTIONS = {
  ipfixSpool: size({
    value: "BYTES",
    least: LEAST_SPOOL,
    default: SPOOL_BYTES,
    fallback: "4 MiB",
    help: "how much may wait for each IPFIX collector of tcp:",
    details:
      "Used while there is no connection, or the collector is slow. When it is full, whole messages are dropped, counted and reported: " +
      `the oldest while there is no connection, otherwise new ones. BYTES may have a unit: ${SIZE_UNITS}`,
  }),
};

/** Checks targets, `HOST`, `udp:HOST` or `tcp:HOST`, each with a port or without. Whoever is named twice would get everything twice. */
export function parseTargets(texts: readonly string[], option: string, port: number = IPFIX_PORT): readonly string[] {
  const known = new Map<string, string>();
  for (const text of texts) {
    const { transport, host } = splitTransport(text);
    if (host === "" && text !== "") {
      throw wrongValue(option, text, `a host after ${text}, such as ${text}192.0.2.9 or ${text}192.0.2.9:${port}`);
    }
    const target = asUsage(option, host, () => parseTarget(host, port));
    // Capitals, and the dot of the root, make no difference in the name of a host.
    const canonical = typeof target.host === "string" ? target.host.toLowerCase().replace(/\.$/, "") : target.host;
    const name = `${transport}:${targetText({ ...target, host: canonical })}`;
    const other = known.get(name);
    if (other === text) throw new UsageError(`${option} ${text} was given twice`);
    if (other !== undefined) throw new UsageError(`${option} ${text} was given twice: ${other} is the same collector`);
    known.set(name, text);
  }
  return texts;
}

/** The same for a protocol that is about datagrams. */
export function parseDatagramTargets(texts: readonly string[], option: string): readonly string[] {
  const stream = texts.find((text) => splitTransport(text).transport === "tcp");
  if (stream === undefined) return parseTargets(texts, option, SFLOW_PORT);
  throw new UsageError(
    `${option} is ${
      JSON.stringify(stream)
    }: sFlow is sent by UDP only, its standard has no form for a stream; --ipfix ${stream} sends IPFIX`,
  );
}

/** How a collector is named: by its protocol, host and port, and its transport if that is not UDP. As its sink is, which may not be open yet. */
export function collectorName(protocol: "sFlow" | "IPFIX", text: string): string {
  const { transport, host } = splitTransport(text);
  const target = targetText(parseTarget(host, protocol === "sFlow" ? SFLOW_PORT : IPFIX_PORT));
  return `${protocol} ${transport === "tcp" ? "tcp:" : ""}${target}`;
}

/** Refuses options that have no effect. */
export function checkStreams({ ipfix }: { readonly ipfix: readonly string[] | undefined }, given: ReadonlySet<string>): void {
  if (given.has("ipfixSpool") && !ipfix?.some((target) => splitTransport(target).transport === "tcp")) {
    throw new UsageError("--ipfix-spool requires --ipfix tcp:HOST: nothing waits for others", { keys: ["ipfixSpool"] });
  }
}

/** What is said about the connections to a collector. */
export function connectionParts({ isOpen, connections, waiting, waitingSamples, mayBeLost, lastError }: ConnectionCounts): string[] {
  const parts: string[] = [];
  if (connections === 0) parts.push(`there was no connection${lastError === undefined ? "" : ` (${lastError})`}`);
  if (connections > 1) parts.push(`${connections} connections`);
  if (waiting > 0) parts.push(`${plural(waiting, "message")} with ${plural(waitingSamples, "sample")} waiting`);
  if (mayBeLost > 0) parts.push(`${plural(mayBeLost, "sample")} not confirmed when a connection ended, which may be lost`);
  if (!isOpen && waiting > 0 && connections > 0) {
    parts.push(`there is no connection now${lastError === undefined ? "" : ` (${lastError})`}`);
  }
  return parts;
}

/** Whether a collector with a connection has confirmed everything; `undefined` if that is not known yet. */
export function isConfirmed(
  { written }: ExportSink,
  { isOpen, waiting, unconfirmedSamples, lastError }: ConnectionCounts,
): boolean | undefined {
  if (isOpen && waiting === 0 && unconfirmedSamples === 0 && written > 0) return true;
  return !isOpen && lastError !== undefined ? false : undefined;
}
