/** The words that name devices: expansion of patterns. */
import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { expandAmong, expandDevices, matcherOf, means, notYet, withRateHint } from "../../cli/devices.ts";
import { NetlinkError } from "../../mod.ts";
import { fakeIo } from "./fake_io.ts";
import { UsageError } from "../../cli/options.ts";

const KNOWN = ["lo", "eth0", "eth1", "eth10", "wlan0", "a.b", "x*", "x[1]"].map((name) => ({ name, up: name !== "eth1" }));

test("a pattern means every device that it matches, up or not, each only once", () => {
  for (
    const [words, names] of [
      [["eth*"], ["eth0", "eth1", "eth10"]],
      [["eth?"], ["eth0", "eth1"]],
      [["eth[1-9]*"], ["eth1", "eth10"]],
      [["eth[!1]"], ["eth0"]],
      [["*0"], ["eth0", "eth10", "wlan0"]],
      [["a.?"], ["a.b"]],
      [["eth0", "eth*"], ["eth0", "eth1", "eth10"]],
      [["nosuch", "wlan*"], ["nosuch", "wlan0"]],
      // Names of devices may have such characters.
      [["x*"], ["x*"]],
      [["x[1]"], ["x[1]"]],
      [["any"], ["eth0", "eth10", "wlan0", "a.b", "x*", "x[1]"]],
    ] as const
  ) assertEquals(expandAmong(words, KNOWN), names, words.join(" "));
});

test("a pattern that matches nothing, or is invalid, is a usage error that names the existing devices", () => {
  assertThrows(() => expandAmong(["en*"], KNOWN), UsageError, "no device matches en*: there are lo, eth0, eth1");
  assertThrows(() => expandAmong(["eth.*"], KNOWN), UsageError, "no device matches eth.*");
  assertThrows(() => expandAmong(["eth[9-1]"], KNOWN), UsageError, "is not a valid pattern");
  assertThrows(() => expandAmong(["any", "eth0"], KNOWN), UsageError, "any means every device");
  assertThrows(() => expandAmong(["any"], [{ name: "lo", up: true }]), UsageError, "no device is up but lo");
  // Where devices that come later count too.
  assertEquals(expandAmong(["xx*", "eth0"], KNOWN, true), ["eth0"]);
  assertEquals(expandAmong(["any"], [{ name: "lo", up: true }], true), []);
  assertThrows(() => expandAmong(["eth[9-1]"], KNOWN, true), UsageError, "is not a valid pattern");
  assertEquals(notYet(["eth*", "xx*", "nosuch0"], KNOWN), ["no device matches xx* yet: those that come later are sampled"]);
  assertEquals(notYet(["any"], [{ name: "lo", up: true }]), ["no device is up but lo: those that come up later are sampled"]);
});

test("plain names make no request", async () => {
  const names = ["nosuch0", "nosuch1"];
  assertEquals(await expandDevices(names, undefined, fakeIo()), names);
});

test("a word means a device by its name, another name, a pattern, or any", () => {
  const device = { name: "eth0", alternativeNames: ["enp1s0"], up: true };
  for (const word of ["eth0", "enp1s0", "eth*", "any"]) assertEquals(means(word, device), true, word);
  for (const word of ["eth", "enp*", "eth1", "ETH0"]) assertEquals(means(word, device), false, word);
  assertEquals([means("any", { ...device, up: false }), means("any", { name: "lo", up: true }), means("lo", { name: "lo", up: true })], [
    false,
    false,
    true,
  ]);
});

test("a device with a rate behind it, as export takes it, is answered with the option", () => {
  const failed = (op: string, errno: number): string => (withRateHint(new NetlinkError(op, errno), "capture") as Error).message;
  const missing = "Cannot find the device va:10: no such device (ENODEV)";
  assertEquals(failed("find the device va:10", 19), `${missing}. To sample 1 in 10 packets of va, psample capture va --rate 10`);
  assertEquals(failed("find the device va", 19), "Cannot find the device va: no such device (ENODEV)");
  assertEquals(failed("find the device va:10", 1).includes("--rate"), false);
});

test("words compared at once mean what each of them means, and the last one counts", () => {
  const known = ["lo", "eth0", "eth1", "any", "e*", "veth[0]"].flatMap((name) =>
    [true, false].flatMap((up) => [{ name, up }, { name, up, alternativeNames: ["wan", "eth[01]"] }])
  );
  const words = ["eth0", "eth*", "any", "wan", "eth[01]", "lo", "v?th*", "e*", "eth0"];
  for (let from = 0; from < words.length; from++) {
    for (let to = from; to <= words.length; to++) {
      const some = words.slice(from, to);
      const place = matcherOf(some);
      for (const device of known) {
        assertEquals(place(device), some.findLastIndex((word) => means(word, device)), `${some} ${JSON.stringify(device)}`);
      }
    }
  }
});
