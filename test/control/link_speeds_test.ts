import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { linkSpeeds } from "../../src/control/link_speeds.ts";
import { openWith } from "../../src/socket/open.ts";
import { EPERM } from "../../src/sys/sys.ts";
import { NLM_F_DUMP } from "../../src/wire/message.ts";
import { attributes, message, number } from "../psample/build.ts";
import { FakeFile } from "../fake_files.ts";
import { FakeSys } from "../fake_sys.ts";
import { ackMessage, doneMessage, familyMessage } from "../support/messages.ts";

const ETHTOOL = 21;
const text = (name: string): Uint8Array => new TextEncoder().encode(`${name}\0`);
const reply = (command: number, name: string, speed: number | undefined, sequence: number): Uint8Array =>
  message([
    [1 | 0x8000, attributes([[1, number(4, 3)], [2, text(name)]])],
    ...speed === undefined ? [] : [[5, number(4, speed)] as const],
  ], { type: ETHTOOL, flags: 2, sequence, command });

test("links have the speeds that the kernel reports, in bit/s; unknown ones are left out", async () => {
  const sys = new FakeSys();
  const { answer } = sys;
  sys.answer = (request, socket) => {
    const { sequence } = request;
    if (request.type === ETHTOOL) {
      assertEquals([request.flags & NLM_F_DUMP, request.payload[0]], [NLM_F_DUMP, 4]);
      sys.reply(socket, reply(4, "eth0", 1000, sequence));
      sys.reply(socket, reply(4, "down0", 0xffff_ffff, sequence));
      sys.reply(socket, reply(4, "odd0", 0, sequence));
      sys.reply(socket, reply(4, "dummy0", undefined, sequence));
      sys.reply(socket, reply(9, "other0", 10, sequence));
      return sys.reply(socket, doneMessage(sequence));
    }
    if (new TextDecoder().decode(request.payload).includes("ethtool")) {
      sys.reply(socket, familyMessage(1, { id: ETHTOOL, name: "ethtool", groups: {} }, sequence));
      return sys.reply(socket, ackMessage(sequence, 0));
    }
    answer(request, socket);
  };
  assertEquals([...await linkSpeeds(sys)], [["eth0", 1_000_000_000]]);
  sys.assertClean();
});

test("without ethtool in the kernel, or without a socket, no speeds are known", async () => {
  const without = new FakeSys({ noFamily: true });
  assertEquals((await linkSpeeds(without)).size, 0);
  without.assertClean();
  const refused = new FakeSys();
  refused.fail("socket", 24);
  assertEquals((await linkSpeeds(refused)).size, 0);
});

test("in a network namespace that can no longer be entered, no speeds are known", async () => {
  const sys = new FakeSys();
  sys.files.set("/run/netns/blue", new FakeFile(undefined, "file", "blue"));
  const there = openWith(sys, { netns: "blue" });
  sys.setns = () => -EPERM;
  assertEquals((await linkSpeeds(there)).size, 0);
  sys.assertClean();
});
