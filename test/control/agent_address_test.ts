import { test } from "node:test";
import { networkInterfaces } from "node:os";
import { assert, assertEquals } from "@std/assert";
import { agentAddress, mostPublic } from "../../src/control/agent_address.ts";
import type { DeviceAddress } from "../../src/link/address.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NLM_F_DUMP } from "../../src/wire/message.ts";
import { ipv4Bytes, ipv6Bytes } from "../../src/wire/text.ts";
import { type Attribute, attributes, bytes, join, number } from "../psample/build.ts";
import { FakeSys } from "../fake_sys.ts";
import { doneMessage } from "../support/messages.ts";

/** RTM_NEWADDR, with the flags in the header and, where given, as an attribute. */
function entry(sequence: number, family: number, flags: number, ifindex: number, list: readonly Attribute[]): Uint8Array {
  const body = join(Uint8Array.of(family, 24, flags, 0), number(4, ifindex), attributes(list));
  return join(number(4, 16 + body.length), number(2, 20), number(2, 2), number(4, sequence), number(4, 0), body);
}

test("agentAddress asks for all addresses and takes the most public one that may be used", async () => {
  const sys = new FakeSys();
  sys.answer = ({ type, flags, sequence }, socket) => {
    assertEquals([type, flags & NLM_F_DUMP], [22, NLM_F_DUMP]);
    sys.reply(socket, entry(sequence, 2, 0x80, 1, [[1, bytes("7f000001")], [2, bytes("7f000001")]]));
    // The other end of a point-to-point link has a public address, this one not.
    sys.reply(socket, entry(sequence, 2, 0x80, 3, [[1, bytes("c6336401")], [2, bytes("0a000001")]]));
    // Public, but another machine has it: the flags of the header are too short to say it.
    sys.reply(socket, entry(sequence, 10, 0, 4, [[1, bytes("20010db8000000000000000000000001")], [8, number(4, 0x08)]]));
    sys.reply(socket, entry(sequence, 10, 0x80, 4, [[1, bytes("fe800000000000000000000000000001")], [8, number(4, 0x80)]]));
    sys.reply(socket, doneMessage(sequence));
  };
  assertEquals(await agentAddress(sys), "10.0.0.1");
  sys.answer = ({ sequence }, socket) => sys.reply(socket, doneMessage(sequence));
  assertEquals(await agentAddress(sys), undefined);
  sys.assertClean();
});

test("agentAddress names an address of this machine", async () => {
  const own = Object.values(networkInterfaces()).flatMap((all) => all!.map(({ address }) => address));
  const address = await agentAddress(await loadSys());
  assert(address === undefined ? own.length === 0 : own.includes(address), `${address} is not among ${own.join()}`);
});

test("mostPublic prefers what fewer machines may have, then what was there first", () => {
  const order = [
    "203.0.113.7",
    "192.168.1.1",
    "2001:db8::1",
    "fd00::1",
    "169.254.1.1",
    "fe80::1",
    "127.0.0.1",
    "::1",
  ];
  const of = (text: string, ifindex = 1, more: Partial<DeviceAddress> = {}): DeviceAddress => {
    return { address: ipv4Bytes(text) ?? ipv6Bytes(text)!, ifindex, usable: true, secondary: false, ...more };
  };
  for (let i = 0; i < order.length; i++) assertEquals(mostPublic(order.slice(i).reverse().map((text) => of(text))), order[i]);
  for (const text of ["10.1.2.3", "172.31.0.1", "100.127.0.1"]) assertEquals(mostPublic([of("2001:db8::1"), of(text)]), text);
  for (const text of ["172.32.0.1", "100.128.0.1", "11.0.0.1"]) assertEquals(mostPublic([of("10.0.0.1"), of(text)]), text);
  assertEquals(mostPublic([of("10.0.0.3", 9), of("10.0.0.2", 2), of("10.0.0.1", 5)]), "10.0.0.2");
  assertEquals(mostPublic([of("10.0.0.2", 2, { secondary: true }), of("10.0.0.1", 5)]), "10.0.0.1");
  assertEquals(mostPublic([of("203.0.113.7", 2, { usable: false }), of("10.0.0.1", 5)]), "10.0.0.1");
  assertEquals(mostPublic([]), undefined);
});
