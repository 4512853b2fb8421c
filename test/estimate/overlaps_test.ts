/** The places that the same packet passes. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type Point, Topology } from "../../src/estimate/mod.ts";
import { link } from "../support/filters.ts";

const LINKS = [
  link({ index: 1, name: "eth0", masterIndex: 3 }),
  link({ index: 2, name: "eth1", masterIndex: 3 }),
  link({ index: 3, name: "bond0", kind: "bond" }),
  link({ index: 4, name: "bond0.5", kind: "vlan", lowerIndex: 3, masterIndex: 5 }),
  link({ index: 5, name: "br0", kind: "bridge" }),
  link({ index: 6, name: "v0", kind: "veth", lowerIndex: 7 }),
  link({ index: 7, name: "v1", kind: "veth", lowerIndex: 6, masterIndex: 5 }),
  // The other end of this one is in another namespace, where 3 is another device.
  link({ index: 8, name: "v2", kind: "veth", lowerIndex: 3, lowerNsid: 0 }),
  link({ index: 9, name: "eth2" }),
  link({ index: 10, name: "mv0", kind: "macvlan", lowerIndex: 9 }),
];

function overlaps(...places: string[]): string[] {
  const points = places.map((place): Point => {
    const [device, direction] = place.split(" ") as [string, "in" | "out"];
    return { device, direction };
  });
  return new Topology(LINKS).overlaps(points).map(({ how, points }) =>
    `${how}: ${points.map(({ device, direction }) => `${device} ${direction}`).join(", ")}`
  );
}

test("a port and its bridge or bond, a VLAN and its parent, each direction separately", () => {
  assertEquals(overlaps("eth0 in", "bond0 in"), ["port: eth0 in, bond0 in"]);
  assertEquals(overlaps("bond0 out", "eth1 out", "eth0 in"), ["port: eth1 out, bond0 out"]);
  assertEquals(overlaps("eth2 in", "mv0 in", "mv0 out"), ["stacked: eth2 in, mv0 in"]);
  assertEquals(overlaps("eth0 in", "bond0 out"), []);
});

test("also if what is between is not sampled, and starting from above", () => {
  assertEquals(overlaps("eth0 in", "bond0.5 in"), ["stacked: eth0 in, bond0.5 in"]);
  assertEquals(overlaps("eth0 in", "br0 in"), ["port: eth0 in, br0 in"]);
});

test("the two ends of a pair: what one sends the other receives", () => {
  assertEquals(overlaps("v0 out", "v1 in"), ["peer: v0 out, v1 in"]);
  assertEquals(overlaps("v0 in", "v1 out"), ["peer: v1 out, v0 in"]);
  assertEquals(overlaps("v0 in", "v1 in", "v0 out"), ["peer: v0 out, v1 in"]);
  assertEquals(overlaps("v1 in", "br0 in"), ["port: v1 in, br0 in"]);
});

test("ports of one bridge, strangers, unknown names and indexes of other namespaces are nothing", () => {
  assertEquals(overlaps("eth0 in", "eth1 in", "eth2 in"), []);
  assertEquals(overlaps("v2 in", "bond0 in", "v2 out", "bond0 out"), []);
  assertEquals(overlaps("if77 in", "eth0 in"), []);
});

test("devices stacked in a circle are handled", () => {
  const topology = new Topology([link({ index: 1, name: "x", masterIndex: 2 }), link({ index: 2, name: "y", masterIndex: 1 })]);
  assertEquals(topology.overlaps([{ device: "x", direction: "in" }, { device: "y", direction: "in" }]).length, 2);
});
