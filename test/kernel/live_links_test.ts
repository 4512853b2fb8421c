/** The live table of devices, while devices are created, renamed and removed. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { watchLinks } from "../../mod.ts";
import { inFreshNamespace } from "./namespace.ts";
import { needs } from "./needs.ts";
import { ip, until } from "./scene.ts";

function linkScene(name: string, play: () => Promise<void>): void {
  test(name, needs("net_admin"), () => inFreshNamespace(play));
}

/** Lets a table read the kernel's notifications, once per turn of the event loop. They are there before `ip` ends. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

linkScene("a device has its new name at once, also one that was created later", async () => {
  ip("link add name old0 index 201 address 02:00:00:00:00:0a mtu 1400 type dummy");
  using devices = await watchLinks();
  assertEquals(devices.find(201, undefined)?.name, "old0");
  assertEquals(devices.find(202, undefined), undefined);
  ip("link set dev old0 name new0");
  await turn();
  assertEquals(devices.find(201, undefined)?.name, "new0");
  ip("link add name late0 index 202 type dummy");
  await turn();
  assertEquals(devices.find(202, undefined)?.name, "late0");
  ip("link del dev late0");
  await turn();
  assertEquals(devices.find(202, undefined), undefined);
  const { index, type, mtu, address } = devices.find(201, undefined)!;
  assertEquals([index, type, mtu, address?.[5]], [201, 1, 1400, 10]);
  // Indices of other namespaces mean other devices.
  assertEquals(devices.find(201, 5), undefined);
});

linkScene("16 bits of an index find a device above 65535 if no other has the same", async () => {
  ip("link add name high0 index 131273 type dummy");
  using devices = await watchLinks();
  assertEquals(devices.find(201, undefined)?.name, "high0");
  ip("link add name low0 index 201 type dummy");
  await turn();
  assertEquals(devices.find(201, undefined), undefined);
  ip("link del dev high0");
  await turn();
  assertEquals(devices.find(201, undefined)?.name, "low0");
});

linkScene("a port that leaves its bridge is not gone", async () => {
  ip(
    "link add name bridge0 type bridge",
    "link add name port0 index 201 type dummy",
    "link set dev port0 master bridge0",
  );
  using devices = await watchLinks();
  ip("link set dev port0 nomaster", "link set dev port0 name left0");
  await turn();
  assertEquals(devices.find(201, undefined)?.name, "left0");
});

linkScene("after more changes than fit into its socket it is complete again", async () => {
  ip("link add name device0 index 201 type dummy");
  using devices = await watchLinks();
  for (let i = 0; i < 20; i++) {
    const lines: string[] = [];
    for (let mtu = 1000; mtu < 1100; mtu++) lines.push(`link set dev device0 mtu ${mtu + i}`);
    ip(...lines);
  }
  ip("link set dev device0 name last0", "link add name more0 index 202 type dummy");
  await until(
    "it knows the names",
    () => devices.find(201, undefined)?.name === "last0" && devices.find(202, undefined)?.name === "more0",
  );
});
