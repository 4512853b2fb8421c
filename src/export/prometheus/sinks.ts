/** The metrics about sinks. */
import type { FamilyWriter, MetricPoint } from "./family.ts";
import type { MetricsSink } from "./state.ts";

/** Writes the families of sinks. */
export function writeSinks(out: FamilyWriter, sinks: readonly MetricsSink[]): void {
  const points = (valueOf: (sink: MetricsSink) => number | undefined): MetricPoint[] =>
    sinks.flatMap((sink) => {
      const value = valueOf(sink);
      return value === undefined ? [] : [{ labels: [["sink", sink.name]], value }];
    });
  out.counter("psample_sink_written_samples", {
    help: "Samples that a sink wrote, or handed to the network.",
    otel: ["psample.sink.written_samples", "{sample}"],
  }, points(({ written }) => written));
  out.counter(
    "psample_sink_skipped_samples",
    { help: "Samples that a sink could not write or send, or left out to keep up.", otel: ["psample.sink.skipped_samples", "{sample}"] },
    points(({ skipped }) => skipped),
  );
  out.counter(
    "psample_sink_sent_datagrams",
    { help: "Datagrams sent.", otel: ["psample.sink.sent_datagrams", "{datagram}"] },
    points(({ datagrams }) => datagrams?.sent),
  );
  out.counter(
    "psample_sink_dropped_datagrams",
    { help: "Datagrams that could not be sent.", otel: ["psample.sink.dropped_datagrams", "{datagram}"] },
    points(({ datagrams }) => datagrams?.dropped),
  );
  out.counter(
    "psample_sink_returned_errors",
    { help: "Errors returned for sent datagrams: a minimum.", otel: ["psample.sink.returned_errors", "{error}"] },
    points(({ datagrams }) => datagrams?.returned),
  );
  out.gauge("psample_sink_connected", {
    help: "Whether there is a connection to the collector.",
    otel: ["psample.sink.connected", "1"],
  }, points(({ connection }) => connection && (connection.isOpen ? 1 : 0)));
  out.counter("psample_sink_connections", {
    help: "Connections to the collector that were made.",
    otel: ["psample.sink.connections", "{connection}"],
  }, points(({ connection }) => connection?.connections));
  out.gauge("psample_sink_waiting_samples", {
    help: "Samples that wait for the collector.",
    otel: ["psample.sink.waiting_samples", "{sample}"],
  }, points(({ connection }) => connection?.waitingSamples));
  out.counter("psample_sink_unconfirmed_samples", {
    help: "Samples that were sent and not confirmed when a connection ended: it is unknown whether they arrived.",
    otel: ["psample.sink.unconfirmed_samples", "{sample}"],
  }, points(({ connection }) => connection?.mayBeLost));
  out.counter(
    "psample_sink_sent_reports",
    { help: "Reports of metrics that a receiver accepted.", otel: ["psample.sink.sent_reports", "{report}"] },
    points(({ reports }) => reports?.sent),
  );
  out.counter(
    "psample_sink_failed_reports",
    { help: "Reports of metrics that could not be delivered.", otel: ["psample.sink.failed_reports", "{report}"] },
    points(({ reports }) => reports?.failed),
  );
  out.counter(
    "psample_sink_skipped_reports",
    {
      help:
        "Reports of metrics that were not made: the previous one was still being sent, the receiver asked for a pause, or making them " +
        "takes long.",
      otel: ["psample.sink.skipped_reports", "{report}"],
    },
    points(({ reports }) => reports?.skipped),
  );
  out.counter(
    "psample_sink_rejected_points",
    { help: "Points that a receiver rejected from reports that it accepted.", otel: ["psample.sink.rejected_points", "{point}"] },
    points(({ reports }) => reports?.rejectedPoints),
  );
}
