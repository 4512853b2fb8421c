/** What metrics tell of sinks that keep a connection. */
import type { FamilyWriter, MetricPoint } from "./family.ts";
import type { MetricsSink } from "./state.ts";

type Connection = NonNullable<MetricsSink["connection"]>;

/** Writes the families of connections. */
export function writeConnections(out: FamilyWriter, sinks: readonly MetricsSink[]): void {
  const points = (value: (connection: Connection) => number): MetricPoint[] =>
    sinks.flatMap(({ name, connection }) => connection ? [{ labels: [["sink", name]], value: value(connection) }] : []);
  out.gauge("psample_sink_connected", {
    help: "Whether there is a connection to the collector.",
    otel: ["psample.sink.connected", "1"],
  }, points(({ isOpen }) => isOpen ? 1 : 0));
  out.counter("psample_sink_connections", {
    help: "Connections to the collector that were made.",
    otel: ["psample.sink.connections", "{connection}"],
  }, points(({ connections }) => connections));
  out.gauge("psample_sink_waiting_samples", {
    help: "Samples that wait for the collector.",
    otel: ["psample.sink.waiting_samples", "{sample}"],
  }, points(({ waitingSamples }) => waitingSamples));
  out.counter("psample_sink_unconfirmed_samples", {
    help: "Samples that were sent and not confirmed when a connection ended: nobody knows whether they arrived.",
    otel: ["psample.sink.unconfirmed_samples", "{sample}"],
  }, points(({ mayBeLost }) => mayBeLost));
}
