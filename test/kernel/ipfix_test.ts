/** IPFIX of a kernel's samples, as nfacctd understands it: scaled by each selector's rate it is what was sampled, to the unit. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { ipfixFlowsTo, ipfixTo, listen, pump, type Stage } from "../../mod.ts";
import type { Sample } from "../../src/psample/sample.ts";
import { frameIn, frameOut, inOrder } from "./frames.ts";
import { openDirectory, Program } from "./runtime.ts";
import { asSamples, hear, IFINDEX, sample, scene, send, until, wire } from "./scene.ts";

const PORT = 4739;
const LEAVING = 500;
const ARRIVING = 200;

interface Counted {
  packets: number;
  bytes: number;
}

/** What nfacctd has counted so far, by the interfaces in and out. */
function counted(file: string): Map<string, Counted> {
  const sums = new Map<string, Counted>();
  if (!existsSync(file)) return sums;
  for (const line of readFileSync(file, "utf8").split("\n").filter((line) => line.endsWith("}"))) {
    const { iface_in, iface_out, packets, bytes } = JSON.parse(line);
    add(sums, `${iface_in}/${iface_out}`, packets, bytes);
  }
  return sums;
}

function add(sums: Map<string, Counted>, key: string, packets: number, bytes: number): void {
  const before = sums.get(key) ?? { packets: 0, bytes: 0 };
  sums.set(key, { packets: before.packets + packets, bytes: before.bytes + bytes });
}

/** The same from the samples; bytes of IP. */
function truth(samples: readonly Sample[]): Map<string, Counted> {
  const sums = new Map<string, Counted>();
  for (const { inIfindex, outIfindex, oneIn, originalBytes } of samples) {
    add(sums, `${inIfindex ?? 0}/${outIfindex ?? 0}`, oneIn!, oneIn! * (originalBytes! - 14));
  }
  return sums;
}

const total = (sums: Map<string, Counted>): number => [...sums.values()].reduce((sum, { packets }) => sum + packets, 0);

for (const [what, to] of [["packets", ipfixTo], ["flows", ipfixFlowsTo]] as const) {
  scene(`nfacctd scales ${what} of two selectors at once by the rate of each`, "program:nfacctd", async () => {
    wire();
    sample("a egress", "rate 4 group 5");
    sample("a ingress", "rate 1 group 6");
    const directory = openDirectory();
    try {
      const configuration = join(directory, "nfacctd.conf");
      const file = join(directory, "counted.json");
      writeFileSync(
        configuration,
        `daemonize: false
nfacctd_ip: 127.0.0.1
nfacctd_port: ${PORT}
nfacctd_renormalize: true
nfacctd_time_new: true
plugins: print
aggregate: in_iface, out_iface
print_output: json
print_output_file: ${file}
print_output_file_append: true
print_refresh_time: 1
`,
      );
      await using collector = new Program(["nfacctd", "-f", configuration]);
      // Its plugin is another process, which misses what comes before it is ready.
      await until(() => `nfacctd is ready: ${collector.err}`, () => `${collector.err}${collector.out}`.includes("Purging cache - END"));
      await using ear = await hear({ events: false });
      const sink = await to(`127.0.0.1:${PORT}`);
      const stop = new AbortController();
      let taken = 0;
      const count: Stage = {
        select(batch, pick): void {
          for (let i = 0; i < batch.count; i++) pick(i);
          taken += batch.samples;
        },
      };
      const moved = pump(await listen({ events: false }), [count], [sink], { signal: stop.signal });
      send("a", ...inOrder(LEAVING, frameOut));
      // Nothing is there that would answer.
      send("b", ...inOrder(ARRIVING, ({ id }) => frameIn({ id, to: "192.0.2.77" })));
      const samples: Sample[] = [];
      let arrived = 0;
      while (arrived < ARRIVING) {
        const [next] = asSamples(await ear.take(1));
        samples.push(next!);
        if (next!.group === 6) arrived++;
      }
      await ear.hearsNoMore();
      await until("everything is taken", () => taken === samples.length);
      stop.abort();
      const { stats } = await moved;
      assertEquals([stats.lost, sink.skipped], [0, 0]);
      const expected = truth(samples);
      await until(() => `nfacctd has counted all: ${collector.err}`, () => total(counted(file)) >= total(expected));
      assertEquals(counted(file), expected);
      assertEquals(expected.get(`${IFINDEX.a}/0`)?.packets, ARRIVING);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
