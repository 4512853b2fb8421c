/** Whether a sample matches: its packet and its metadata. */
import type { Device, Devices } from "../link/device.ts";
import { linkTypeOf } from "../link/link_type.ts";
import type { FirstHeader } from "../packet/packet_view.ts";
import type { SampleFields } from "../psample/sample.ts";
import { sameBytes } from "../wire/bytes.ts";
import { compare, type Test } from "./condition.ts";
import type { SampleTest, Tree } from "./language/tree.ts";
import { lower } from "./lower.ts";
import { Packet } from "./packet.ts";
import { predicate } from "./predicate.ts";

const NO_DATA = new Uint8Array(0);

/** Makes a result for packets that begin with an Ethernet header, and one for those that begin with IP. */
export function forBoth<Result>(expression: string, tree: Tree, make: (test: Test) => Result): Readonly<Record<FirstHeader, Result>> {
  return { ethernet: make(lower(expression, tree, "ethernet")), "raw-ip": make(lower(expression, tree, "raw-ip")) };
}

/** Decides whether samples match an expression. */
export class SampleMatcher {
  readonly #packet = new Packet();
  readonly #tests: Readonly<Record<FirstHeader, () => boolean>>;
  /** The sample under test, and the devices of the machine that it comes from. */
  #sample!: SampleFields;
  #device: Device | undefined;
  #devices!: Devices;

  /** Matches the expression, given its tree. */
  constructor(expression: string, tree: Tree) {
    this.#tests = forBoth(expression, tree, (test) => predicate(test, this.#packet, (test) => this.#ofSample(test)));
  }

  /**
   * Whether a sample matches.
   *
   * @param device The device that it was sampled on.
   * @param devices All devices of that machine.
   */
  matches(sample: SampleFields, device: Device | undefined, devices: Devices): boolean {
    const data = sample.data ?? NO_DATA;
    const packet = this.#packet;
    this.#sample = sample;
    this.#device = device;
    this.#devices = devices;
    packet.point(data, linkTypeOf(device?.type, sample.protocol, data), sample.originalBytes ?? data.length);
    return this.#tests[packet.first]() && !packet.failed;
  }

  #ofSample(test: SampleTest): () => boolean {
    const isNamed = (ifindex: number | undefined, name: string): boolean =>
      ifindex !== undefined && this.#devices.find(ifindex, this.#sample.nsid)?.name === name;
    switch (test.about) {
      case "device":
        return () => this.#device?.name === test.name;
      case "in":
        return () => isNamed(this.#sample.inIfindex, test.name);
      case "out":
        return () => isNamed(this.#sample.outIfindex, test.name);
      case "direction":
        return () => (this.#sample.outIfindex !== undefined) === test.egress;
      case "cookie":
        return () => {
          const { cookie } = this.#sample;
          return cookie !== undefined && sameBytes(cookie, test.bytes);
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

/** A number of a sample; `undefined` if it has none, and then no comparison holds. */
function numberOf(sample: SampleFields, about: "group" | "rate" | "queue" | "latency"): number | undefined {
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
