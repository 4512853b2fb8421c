import { linkTypeOf } from "../link/link_type.ts";
import type { SampleView } from "../psample/sample_view.ts";
import type { Batch } from "../stream/batch.ts";
import type { Stage } from "../stream/stage.ts";
import { FilterError } from "./filter_error.ts";
import { parseFilter } from "./language/parse.ts";
import type { SampleTest, Tree } from "./language/tree.ts";
import type { FirstHeader } from "../packet/packet_view.ts";
import { lower } from "./lower.ts";
import { Packet, predicate } from "./predicate.ts";
import { compare, type Test } from "./condition.ts";

/**
 * Lets through the samples whose packets match an expression of pcap-filter(7), with the meaning that it has in libpcap: a byte that
 * was not captured makes the packet one that does not match, `vlan` moves what follows it, and fragments have no ports. Names of
 * ports and protocols are those of a built-in table; nothing is looked up. What samples have beside a packet can be asked for too:
 * `device eth0`, `in eth0`, `out eth0`, `ingress`, `egress`, `group 5`, `rate >= 100`, `queue 3`, `latency > 1ms`, `cookie 0102`.
 * Group events go on. A filter without words lets everything through.
 *
 * @throws {FilterError} if the expression is none, with the place.
 *
 * @example Print ten samples of what is neither ARP nor SSH
 * ```ts ignore
 * import { filter, linesTo, listen, pump } from "@psample/psample";
 * import { JsonWriter } from "@psample/psample/format";
 *
 * await pump(await listen(), [filter("not arp and not tcp port 22")], [await linesTo(new JsonWriter())], { count: 10 });
 * ```
 *
 * @category Filters
 */
export function filter(expression: string): Stage {
  const tree = parseFilter(expression);
  return tree ? new FilterStage(expression, tree) : { select: selectAll };
}

/**
 * Makes a function that tells whether a packet matches an expression: its bytes, what it begins with, and how many bytes it had
 * before it was cut, which are by default those that are there.
 *
 * @throws {FilterError} if the expression is none, or asks for something that only samples have.
 */
export function packetFilter(expression: string): (packet: Uint8Array, first: FirstHeader, originalBytes?: number) => boolean {
  const tree = parseFilter(expression);
  if (!tree) return () => true;
  refuseSampleTests(expression, tree);
  const packet = new Packet();
  const tests = bothTests(expression, tree, (test) => predicate(test, packet, () => () => false));
  return (bytes, first, originalBytes = bytes.length) => {
    packet.bytes = bytes;
    packet.size = bytes.length;
    packet.length = originalBytes;
    packet.failed = false;
    return tests[first]() && !packet.failed;
  };
}

/** Throws at the first word that only samples have. */
export function refuseSampleTests(expression: string, tree: Tree): void {
  if (tree.kind === "sample") throw new FilterError(expression, tree.at, "only samples have this, not packets");
  if (tree.kind === "not") refuseSampleTests(expression, tree.term);
  if (tree.kind === "and" || tree.kind === "or") { for (const term of tree.terms) refuseSampleTests(expression, term); }
}

function bothTests<Result>(expression: string, tree: Tree, make: (test: Test) => Result): Readonly<Record<FirstHeader, Result>> {
  return { ethernet: make(lower(expression, tree, "ethernet")), "raw-ip": make(lower(expression, tree, "raw-ip")) };
}

function selectAll(batch: Batch, pick: (i: number) => void): void {
  for (let i = 0; i < batch.count; i++) pick(i);
}

const NO_DATA = new Uint8Array(0);

class FilterStage implements Stage {
  readonly #packet = new Packet();
  readonly #tests: Readonly<Record<FirstHeader, () => boolean>>;
  /** The sample that is looked at. */
  #batch: Batch | undefined;
  #i = 0;

  constructor(expression: string, tree: Tree) {
    this.#tests = bothTests(expression, tree, (test) => predicate(test, this.#packet, (test) => this.#ofSample(test)));
  }

  select(batch: Batch, pick: (i: number) => void): void {
    const packet = this.#packet;
    this.#batch = batch;
    for (let i = 0; i < batch.count; i++) {
      const entry = batch.entries[i]!;
      if (entry.type !== "sample") {
        pick(i);
        continue;
      }
      const data = entry.data ?? NO_DATA;
      this.#i = i;
      packet.bytes = data;
      packet.size = data.length;
      packet.length = entry.originalBytes ?? data.length;
      packet.failed = false;
      if (this.#tests[linkTypeOf(batch.device(i)?.type, entry.protocol, data)]() && !packet.failed) pick(i);
    }
    this.#batch = undefined;
  }

  get #sample(): SampleView {
    return this.#batch!.entries[this.#i] as SampleView;
  }

  #ofSample(test: SampleTest): () => boolean {
    const isNamed = (ifindex: number | undefined, name: string): boolean =>
      ifindex !== undefined && this.#batch!.devicesOf(this.#i).find(ifindex, this.#sample.nsid)?.name === name;
    switch (test.about) {
      case "device":
        return () => this.#batch!.device(this.#i)?.name === test.name;
      case "in":
        return () => isNamed(this.#sample.inIfindex, test.name);
      case "out":
        return () => isNamed(this.#sample.outIfindex, test.name);
      case "direction":
        return () => (this.#sample.outIfindex !== undefined) === test.egress;
      case "cookie":
        return () => {
          const { cookie } = this.#sample;
          return cookie !== undefined && cookie.length === test.bytes.length && cookie.every((byte, i) => byte === test.bytes[i]);
        };
      default: {
        const { about, relation, value } = test;
        return () => {
          const number = numberOf(this.#sample, about);
          return number !== undefined && compare(relation, number, value);
        };
      }
    }
  }
}

/** A number of a sample; `undefined` if it has none, which nothing compares with. */
function numberOf(sample: SampleView, about: "group" | "rate" | "queue" | "latency"): number | undefined {
  switch (about) {
    case "group":
      return sample.group;
    case "rate":
      return sample.oneIn;
    case "queue":
      return sample.outTc;
    case "latency":
      return sample.latencyNs === undefined ? undefined : Number(sample.latencyNs);
  }
}
