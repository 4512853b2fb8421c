/** What is measured of exports. */
import { messages, run, subject } from "./process.ts";
import { alone, drain, drained, growth, n, named, quick, type Row } from "./row.ts";

/** Samples that are sent to collectors, compared with C that sends them as sFlow. */
const sflow = (kind: string, target: number): Row => drain("sFlow datagrams", kind, target, ["sflow"], "sflow");

/** Exporters compared with sFlow alone. */
function exporters(work: string, kind: string, target: number, what: string): Row {
  const command = (form: string) => (): string[] => subject("drain", form, messages(kind), drained(kind));
  return growth(`${work}, ${named(kind)}, of sFlow`, target, command("sflow"), command(what));
}

function exportDelay(latency: "batch" | "low", target: number): Row {
  return {
    work: `sFlow at 500/s${latency === "low" ? ", --latency low" : ""}: a sample waits`,
    figures: [{ label: "at most", name: "longest", target, unit: "ms" }],
    measure: alone((size) =>
      run(subject("export-delay", latency, n(4000, size)), { kind: "mixed-128", count: n(4000, size), rate: 500, burst: 1 })
    ),
    once: true,
  };
}

/** All rows about exports. */
export const EXPORT_ROWS: readonly Row[] = [
  quick(sflow("uniform-128", 1.0)),
  quick(sflow("mixed-128", 1.0)),
  quick(exporters("IPFIX packet reports", "mixed-128", 1.1, "ipfix")),
  quick(exporters("sFlow, IPFIX and metrics", "mixed-128", 1.4, "all")),
  exportDelay("batch", 1000),
  exportDelay("low", 50),
  {
    work: "idle with sFlow, IPFIX and metrics",
    figures: [{ label: "CPU", name: "percent", target: 0.5, unit: "% of a core" }],
    measure: alone((size) => run(subject("export-idle", n(20, size)))),
    once: true,
  },
  {
    work: "sFlow, IPFIX and metrics at 100,000/s",
    figures: [
      { label: "samples lost", name: "lost", target: 0, unit: "" },
      { label: "samples not sent", name: "unsent", target: 0, unit: "" },
      { label: "in no account", name: "missing", target: 0, unit: "" },
      { label: "growth", name: "growth", target: 5, unit: "MB" },
      { label: "resident", name: "resident", target: 90, unit: "MB" },
    ],
    measure: alone((size) =>
      run(subject("export", "all", size.memory), { kind: "mixed-128", count: size.memory, rate: 100_000, burst: 10, drop: true })
    ),
    once: true,
  },
];
