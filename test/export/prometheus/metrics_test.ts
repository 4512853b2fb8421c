import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../../src/errors.ts";
import { Exposition } from "../../../src/export/prometheus/exposition.ts";
import { Metrics } from "../../../src/export/prometheus/metrics.ts";
import type { ListenStats } from "../../../src/stream/stats.ts";
import { madeBatch, stateOf } from "./made.ts";
import { readExposition, valuesOf } from "./reader.ts";

const SECOND = 1_000_000_000n;
const MINUTE = 60n * SECOND;

test("samples are counted by device, namespace, direction, group and traffic class, with what they stand for", () => {
  const metrics = new Metrics({}, 0n);
  metrics.take(
    madeBatch([{ bytes: 100 }, { bytes: 1400 }, { out: true }, { device: 2, oneIn: 1000 }, { group: 7 }, { tc: 3 }, {
      nsid: 4,
      device: 9,
    }]),
    0n,
  );
  const text = metrics.text("text", SECOND, stateOf());
  assertEquals(valuesOf(text, "psample_samples_total"), {
    "eth0 in 5": 2,
    "eth0 out 5": 1,
    "eth1 in 5": 1,
    "eth0 in 7": 1,
    "eth0 in 5 3": 1,
    "if9 4 in 5": 1,
  });
  assertEquals(
    readExposition(text).find(({ name, labels }) => name === "psample_samples_total" && labels.tc === "3")!.labels,
    { device: "eth0", direction: "in", group: "5", tc: "3" },
  );
  assertEquals(
    readExposition(text).find(({ name, labels }) => name === "psample_samples_total" && labels.netns === "4")!.labels,
    { device: "if9", netns: "4", direction: "in", group: "5" },
  );
  assertEquals(valuesOf(text, "psample_estimated_packets_total")["eth1 in 5"], 1000);
  assertEquals(valuesOf(text, "psample_estimated_bytes_total")["eth1 in 5"], 100_000);
  // Whatever was sampled 1 in 1 is known exactly.
  for (const  of of["total", "low", "high"]) {
    assertEquals(valuesOf(text, `psample_estimated_packets_${of}`)["eth0 in 5"], 2, of);
    assertEquals(valuesOf(text, `psample_estimated_bytes_${of}`)["eth0 in 5"], 1500, of);
  }
  const bounds = ["low", "high"].map((of) => valuesOf(text, `psample_estimated_packets_${of}`)["eth1 in 5"]!);
  assert(bounds[0]! > 0 && bounds[0]! < 1000 && bounds[1]! > 1000, `${bounds}`);
});

test("samples that cannot be used are told, and so is everything that the account knows", () => {
  const metrics = new Metrics({ version: "1.2.3" }, 5n * SECOND);
  metrics.take(madeBatch([{ oneIn: undefined }]), 0n);
  const group = { nsid: undefined, portId: 0, restarts: 0, numbered: true, contradictory: false };
  const stats: ListenStats = {
    ...stateOf().stats,
    received: 10,
    lost: 9,
    gaps: 7,
    dropped: 4,
    malformed: 3,
    unknown: 2,
    receiveBufferBytes: 4096,
    groups: [
      { ...group, group: 5, received: 6, lost: 5, late: 2, duplicates: 1 },
      // Another producer of the same group.
      { ...group, group: 5, portId: 77, received: 1, lost: 1, late: 0, duplicates: 0 },
      { ...group, group: 5, nsid: 3, received: 2, lost: 1, late: 0, duplicates: 0 },
    ],
    others: { received: 1, lost: 0, late: 1, duplicates: 0 },
  };
  const datagrams = { sent: 12, dropped: 1, returned: 2 };
  const sinks = [{ name: "sFlow 192.0.2.9:6343", written: 8, skipped: 2, datagrams }, { name: "a.pcapng", written: 10, skipped: 0 }];
  const samplers = [
    { device: "eth0", direction: "in", oneIn: 100, trials: 1234, deviates: true },
    { device: "eth0", direction: "out", oneIn: 100, trials: undefined, deviates: false },
  ] as const;
  const text = metrics.text("text", 0n, stateOf({ stats, sinks, samplers }));
  const values = Object.fromEntries(
    readExposition(text).map(({ name, labels, value }) => [[name, ...Object.values(labels)].join(" "), value]),
  );
  assertEquals(values, {
    "psample_unusable_samples_total": 1,
    "psample_unsegmented_samples_total": 0,
    "psample_received_samples_total": 10,
    "psample_lost_samples_total": 9,
    "psample_dropped_messages_total": 4,
    "psample_malformed_messages_total": 3,
    "psample_unknown_messages_total": 2,
    "psample_gap_samples_total 5": 8,
    "psample_gap_samples_total 5 3": 1,
    "psample_gap_samples_total others": 1,
    "psample_late_samples_total 5": 2,
    "psample_late_samples_total 5 3": 0,
    "psample_late_samples_total others": 1,
    "psample_duplicate_samples_total 5": 1,
    "psample_duplicate_samples_total 5 3": 0,
    "psample_duplicate_samples_total others": 0,
    "psample_receive_buffer_bytes": 4096,
    "psample_sampling_one_in eth0 in": 100,
    "psample_sampling_one_in eth0 out": 100,
    "psample_sampler_packets_total eth0 in": 1234,
    "psample_sampler_deviates eth0 in": 1,
    "psample_sink_written_samples_total sFlow 192.0.2.9:6343": 8,
    "psample_sink_written_samples_total a.pcapng": 10,
    "psample_sink_skipped_samples_total sFlow 192.0.2.9:6343": 2,
    "psample_sink_skipped_samples_total a.pcapng": 0,
    "psample_sink_sent_datagrams_total sFlow 192.0.2.9:6343": 12,
    "psample_sink_dropped_datagrams_total sFlow 192.0.2.9:6343": 1,
    "psample_sink_returned_errors_total sFlow 192.0.2.9:6343": 2,
    "psample_build_info 1.2.3": 1,
    "psample_start_time_seconds": 5,
  });
  // A sample that came late after all is no restart of the counter.
  const later = metrics.text("text", 0n, stateOf({ stats: { ...stats, lost: 8 } }));
  assertEquals(valuesOf(later, "psample_lost_samples_total"), { "": 9 });
});

test("discarded packets are counted if somebody monitors them, and else there are no such metrics", () => {
  const metrics = new Metrics({}, 0n);
  const discards = { reported: 5, beyondLimit: 4, lost: 3, notPackets: 2, malformed: 0 };
  for (const format of ["text", "openmetrics"] as const) {
    const text = metrics.text(format, 0n, stateOf({ discards }));
    assertEquals(
      Object.fromEntries(readExposition(text).filter(({ name }) => name.includes("discards")).map(({ name, value }) => [name, value])),
      {
        psample_reported_discards_total: 5,
        psample_skipped_discards_total: 4,
        psample_lost_discards_total: 3,
        psample_nonpacket_discards_total: 2,
        psample_malformed_discards_total: 0,
      },
    );
    assert(!metrics.text(format, 0n, stateOf()).includes("discards"));
  }
});

test("what switches measure becomes histograms, exact at the bounds", () => {
  const metrics = new Metrics({}, 0n);
  metrics.take(
    madeBatch([{ tc: 1, latencyNs: 1000n, occupancy: 256n }, { tc: 1, latencyNs: 1001n }, { tc: 1, latencyNs: 20_000_000_000n }, {
      tc: 2,
    }]),
    0n,
  );
  for (const format of ["text", "openmetrics"] as const) {
    const text = metrics.text(format, 0n, stateOf());
    const buckets = valuesOf(text, "psample_latency_seconds_bucket");
    assertEquals([buckets["eth0 in 5 1 1e-06"], buckets["eth0 in 5 1 2e-06"], buckets["eth0 in 5 1 10.0"], buckets["eth0 in 5 1 +Inf"]], [
      1,
      2,
      2,
      3,
    ]);
    assertEquals(valuesOf(text, "psample_latency_seconds_count"), { "eth0 in 5 1": 3 });
    assertEquals(valuesOf(text, "psample_latency_seconds_sum"), { "eth0 in 5 1": 1e-6 + 1.001e-6 + 20 });
    assertEquals(valuesOf(text, "psample_queue_occupancy_bytes_count"), { "eth0 in 5 1": 1 });
    const occupancy = Object.keys(valuesOf(text, "psample_queue_occupancy_bytes_bucket")).map((labels) => labels.split(" ").at(-1));
    assertEquals(occupancy, [
      "256.0",
      "1024.0",
      "4096.0",
      "16384.0",
      "65536.0",
      "262144.0",
      "1.048576e+06",
      "4.194304e+06",
      "1.6777216e+07",
      "6.7108864e+07",
      "+Inf",
    ]);
  }
});

test("the largest flows are shown if that is asked for, as many as are asked for, and fade when they end", () => {
  const metrics = new Metrics({ top: 2, by: "ipsource,ipsource.1,ipdestination" }, 0n);
  assertEquals(valuesOf(metrics.text("text", 0n, stateOf()), "psample_top_bytes_per_second"), {});
  const sized = new Metrics({ top: 2, by: "ipsource,sourceport" }, 0n);
  for (let second = 0n; second < 120n; second++) {
    sized.take(madeBatch([{ source: 1, bytes: 1000 }, { source: 2, bytes: 500 }, { source: 3, bytes: 100 }]), second * SECOND);
  }
  const text = sized.text("text", 120n * SECOND, stateOf());
  const rates = valuesOf(text, "psample_top_bytes_per_second");
  assertEquals(Object.keys(rates), ["10.0.0.1 53", "10.0.0.2 53"]);
  assert(Math.abs(rates["10.0.0.1 53"]! - 1000) < 50, `${rates["10.0.0.1 53"]}`);
  assertEquals(readExposition(text).find(({ name }) => name === "psample_top_packets_per_second")!.labels, {
    ipsource: "10.0.0.1",
    sourceport: "53",
  });
  for (let second = 120n; second < 900n; second += 10n) sized.take(madeBatch([{ source: 9, bytes: 1000 }]), second * SECOND);
  assertEquals(Object.keys(valuesOf(sized.text("text", 900n * SECOND, stateOf()), "psample_top_bytes_per_second")), ["10.0.0.9 53"]);
});

test("other flows may be shown while it counts; another number of them forgets none, other keys begin anew", () => {
  const metrics = new Metrics({}, 0n);
  const shown = (second: bigint): string[] =>
    Object.keys(valuesOf(metrics.text("text", second * SECOND, stateOf()), "psample_top_bytes_per_second"));
  const take = (second: bigint): void => metrics.take(madeBatch([{ source: 1, bytes: 1000 }, { source: 2, bytes: 500 }]), second * SECOND);
  take(1n);
  assertEquals(shown(2n), []);
  metrics.show({ top: 2, by: "ipsource" });
  take(3n);
  assertEquals(shown(4n), ["10.0.0.1", "10.0.0.2"]);
  metrics.show({ top: 1, by: "ipsource" });
  assertEquals(shown(5n), ["10.0.0.1"]);
  metrics.show({ top: 1, by: "ipsource,sourceport" });
  assertEquals(shown(6n), []);
  take(7n);
  assertEquals(shown(8n), ["10.0.0.1 53"]);
  assertThrows(() => metrics.show({ top: 1, by: "nonsense" }), ArgumentError);
  assertEquals(shown(9n), ["10.0.0.1 53"]);
  metrics.show({});
  assertEquals(shown(10n), []);
  assertEquals(Object.values(valuesOf(metrics.text("text", 11n * SECOND, stateOf()), "psample_samples_total")), [6]);
});

test("the names of keys become names of labels", () => {
  const metrics = new Metrics({ top: 5, by: "subnet:/24,device" }, 0n);
  metrics.take(madeBatch([{}]), 0n);
  metrics.take(madeBatch([{}]), SECOND);
  const { labels } = readExposition(metrics.text("text", SECOND, stateOf())).find(({ name }) => name === "psample_top_bytes_per_second")!;
  assertEquals(Object.keys(labels), ["subnet_24", "device"]);
});

test("series of devices that are gone end a minute later, and those of a device that is back begin again", () => {
  const metrics = new Metrics({}, 0n);
  metrics.take(madeBatch([{ device: 1 }, { device: 2, latencyNs: 5n }, { device: 2, nsid: 1 }]), 0n);
  let present = new Set(["eth0", "eth1"]);
  const hasDevice = (name: string): boolean => present.has(name);
  const shown = (nowNs: bigint): string[] =>
    Object.keys(valuesOf(metrics.text("text", nowNs, stateOf({ hasDevice })), "psample_samples_total"));
  assertEquals(shown(0n), ["eth0 in 5", "eth1 in 5", "if2 1 in 5"]);
  present = new Set(["eth0"]);
  assertEquals(shown(1n), ["eth0 in 5", "eth1 in 5", "if2 1 in 5"]);
  assertEquals(shown(MINUTE), ["eth0 in 5", "eth1 in 5", "if2 1 in 5"]);
  // Nothing is known of devices in other namespaces.
  assertEquals(shown(MINUTE + 1n), ["eth0 in 5", "if2 1 in 5"]);
  assertEquals(valuesOf(metrics.text("text", MINUTE, stateOf()), "psample_latency_seconds_count"), {});
  present = new Set(["eth0", "eth1"]);
  metrics.take(madeBatch([{ device: 2 }]), MINUTE);
  assertEquals(valuesOf(metrics.text("text", 2n * MINUTE, stateOf({ hasDevice })), "psample_samples_total"), {
    "eth0 in 5": 1,
    "eth1 in 5": 1,
    "if2 1 in 5": 1,
  });
});

test("a device that samples still come from is not gone, whatever the list of devices says", () => {
  const metrics = new Metrics({}, 0n);
  const state = stateOf({ hasDevice: () => false });
  for (let minute = 0n; minute < 5n; minute++) {
    metrics.take(madeBatch([{}]), minute * MINUTE);
    assertEquals(valuesOf(metrics.text("text", minute * MINUTE, state), "psample_samples_total"), { "eth0 in 5": Number(minute) + 1 });
  }
});

test("the number of series is bounded, whatever comes", () => {
  const metrics = new Metrics({}, 0n);
  for (let from = 0; from < 12_000; from += 1000) {
    metrics.take(madeBatch(Array.from({ length: 1000 }, (_, i) => ({ group: from + i, latencyNs: 5n }))), 0n);
  }
  const text = metrics.text("text", 0n, stateOf());
  assertEquals(Object.keys(valuesOf(text, "psample_samples_total")).length, 8192);
  const counts = Object.values(valuesOf(text, "psample_latency_seconds_count"));
  assertEquals([counts.length, counts.reduce((sum, count) => sum + count)], [1025, 12_000]);
});

test("names of devices may contain anything", () => {
  const metrics = new Metrics({}, 0n);
  const names = ['a"b', "a\\b", "a\nb", "ä}", "{,="];
  metrics.take(madeBatch(names.map((_, i) => ({ device: i + 1 })), names), 0n);
  for (const format of ["text", "openmetrics"] as const) {
    const found = readExposition(metrics.text(format, 0n, stateOf())).filter(({ name }) => name === "psample_samples_total");
    assertEquals(found.map(({ labels }) => labels.device).sort(), [...names].sort());
  }
});

test("both formats have the same numbers, and each its own words about them", () => {
  const metrics = new Metrics({ version: "1" }, 0n);
  metrics.take(madeBatch([{ latencyNs: 5n }]), 0n);
  const text = metrics.text("text", 0n, stateOf());
  const open = metrics.text("openmetrics", 0n, stateOf());
  assertEquals(readExposition(open), readExposition(text));
  assert(open.endsWith("\n# EOF\n") && !text.includes("# EOF") && !text.includes("# UNIT"));
  for (const line of ["# TYPE psample_samples counter", "# TYPE psample_build info", "# UNIT psample_latency_seconds seconds"]) {
    assert(open.includes(`\n${line}\n`) || open.startsWith(`${line}\n`), line);
  }
  for (const line of ["# TYPE psample_samples_total counter", "# TYPE psample_build_info gauge"]) {
    assert(text.includes(`\n${line}\n`), line);
  }
});

test("numbers and help are written as the formats have them", () => {
  const lines = (format: "text" | "openmetrics"): string[] => {
    const out = new Exposition(format);
    out.gauge("a", { help: 'one\\two\n"three"' }, [{ value: Infinity }, { labels: [["b", "1"]], value: -Infinity }, {
      labels: [["b", "2"]],
      value: NaN,
    }]);
    out.counter("nothing", { help: "no series" }, []);
    return out.end().split("\n");
  };
  assertEquals(lines("text"), ['# HELP a one\\\\two\\n"three"', "# TYPE a gauge", "a +Inf", 'a{b="1"} -Inf', 'a{b="2"} NaN', ""]);
  assertEquals(lines("openmetrics")[0], '# HELP a one\\\\two\\n\\"three\\"');
});

test("wrong options are refused", () => {
  for (const top of [0, 1.5, 1001, NaN]) {
    assertThrows(() => new Metrics({ top }, 0n), ArgumentError, "expected a whole number from 1 to 1000");
  }
  assertThrows(() => new Metrics({ top: 1, by: "nothing" }, 0n), ArgumentError, "the keys are");
});

test("after a quiet night there are no largest flows", () => {
  const metrics = new Metrics({ top: 5 }, 0n);
  metrics.take(madeBatch([{}, { source: 2, oneIn: 1000 }]), 0n);
  for (const minutes of [10n, 180n, 600n, 100_000n]) {
    assertEquals(valuesOf(metrics.text("text", minutes * MINUTE, stateOf()), "psample_top_bytes_per_second"), {}, `${minutes}`);
  }
});
