import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { decodeDatagram } from "../export/sflow/decoder.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { type FakeIo, fakeIo } from "./fake_io.ts";

/** Runs an export with a configuration file. */
async function run(file: string, ...args: string[]): Promise<FakeIo & { status: number }> {
  const io = fakeIo({ input: { "x.conf": new TextEncoder().encode(file) } });
  return Object.assign(io, { status: await main(["export", "--config", "x.conf", ...args], io) });
}

test("a wrong configuration ends with 2, before anything is set up, and says where", async () => {
  const wrong: [string, string[], RegExp][] = [
    ["", [], /^psample: x\.conf: nowhere to export to: give --sflow HOST/],
    ["sflow 192.0.2", [], /^psample: x\.conf, line 1: sflow is "192\.0\.2": "192\.0\.2" is not an IPv4 address/],
    ["sflow 192.0.2.9\ndevice eth0:0", [], /^psample: x\.conf, line 2: the rate in eth0:0 is "0"/],
    ["sflow 192.0.2.9\ndevice eth0 eth1", [], /^psample: x\.conf, line 2: "eth0 eth1" has a blank, and no name of a device has one/],
    ["sflow 192.0.2.9\n\ndomain 7", [], /^psample: x\.conf, line 3: --domain requires --ipfix/],
    ["sflow 192.0.2.9\nrate 7", [], /^psample: x\.conf, line 2: --rate says what to sample, but no DEVICE is given/],
    ["sflow 192.0.2.9\ndevice a\ndevice a:7", [], /^psample: x\.conf, line 3: the same device was given twice: a\n/],
    ["sflow 192.0.2.9\ndevice lo\ndevice any:5", [], /^psample: x\.conf, line 3: any means every device: lo cannot be given with it\n/],
    ["sflow 192.0.2.9\ndevice any:5\ndevice any:6", [], /^psample: x\.conf, line 3: any means every device: it was given twice\n/],
    ["sflow 192.0.2.9\ndevice lo", ["a", "a"], /^psample: the same device was given twice: a\n/],
    ["ipfix TCP:192.0.2.9\nipfix sctp:192.0.2.9", [], /^psample: x\.conf, line 2: ipfix is .*; only udp: and tcp: can be in front/],
    ["sflow 192.0.2.9\nwait\ndevice a", [], /^psample: x\.conf, line 2: --wait is about what is sampled already/],
    ["sflow 192.0.2.9", ["--domain", "7"], /^psample: --domain requires --ipfix/],
    ["sflow 192.0.2.9", ["--from", "a.pcapng"], /^psample: --config is not for recordings/],
    ["sflow 192.0.2.9", ["eth0", "tcp"], /did you mean --filter/],
    ["check", [], /^psample: x\.conf, line 1: check cannot be in a file: it is for trying out, on the command line/],
    ["config y.conf", [], /a file does not include others/],
    ["match tcp prt 443", [], /^psample: x\.conf, line 1: match:? /],
    ["sflow 192.0.2.9\nagent 192.0.2.1\nheader 1400", ["--check"], /^psample: x\.conf, line 3: --header 1400 is not a whole number/],
  ];
  for (const [file, args, message] of wrong) {
    const { status, text, errors } = await run(file, ...args);
    assertEquals(status, 2, errors());
    if (!args.includes("--check")) assertEquals(text(), "");
    assertMatch(errors(), message, file);
    assertMatch(errors(), /Try: psample export --help\n$/);
  }
  const forgotten = fakeIo();
  assertEquals(await main(["export", "/etc/psample/export.conf"], forgotten), 2);
  assertMatch(forgotten.errors(), /"\/etc\/psample\/export\.conf" is a file: did you mean --config \/etc\/psample\/export\.conf\?\n/);
  const io = fakeIo();
  assertEquals([await main(["export", "--config", "none.conf"], io), io.errors()], [
    1,
    "psample: Cannot read none.conf: no such file or directory (ENOENT)\n",
  ]);
});

test("--check says what the configuration means, and sends one of everything", async () => {
  using sflow = new UdpReceiver();
  const file = [
    "# what we sample",
    "device lo:4000",
    "direction egress",
    "match tcp port 443",
    "filter not src host 127.0.0.1",
    `sflow ${sflow.target}`,
    "agent 192.0.2.1",
    "header 60",
    "prometheus 0",
    "top 5",
    "counters eth*",
    "polling 10s",
    "count 7",
  ].join("\n");
  const { status, text, errors } = await run(file, "--check");
  assertEquals([status, errors()], [0, ""]);
  const lines = text().split("\n");
  assertEquals(lines.slice(0, 10), [
    "x.conf means:",
    "  sample 1 in 4000 outgoing packets of lo, up to 256 bytes of each",
    "  sample only packets that match tcp port 443",
    "  export only samples that match not src host 127.0.0.1",
    `  send sFlow to ${sflow.target}: up to 60 bytes of each packet, known as 192.0.2.1`,
    "  send counters of sampled devices, of eth* and of the host to sFlow collectors, every 10s",
    "  serve metrics on 0, with the 5 largest flows by ipsource,ipdestination",
    "  count 7",
    "  off: IPFIX, discarded packets, recording",
    lines[9],
  ]);
  // Of the host, of lo, and of what this machine calls eth*.
  assertMatch(text(), /sFlow \S+: \d datagrams sent, [2-9] counter samples in them; no error came back\n$/);
  const [datagram] = (await sflow.until(1)).map((bytes) => decodeDatagram(new Uint8Array(bytes)));
  assertEquals(datagram!.agent, "192.0.2.1");
});

test("the command line goes before the file, and a device that is not there fails the check", async () => {
  using wanted = new UdpReceiver();
  using unwanted = new UdpReceiver();
  const file = `device lo:7\ndevice lo2\nsflow ${unwanted.target}\nagent 192.0.2.1`;
  const { status, text, errors } = await run(file, "nosuchdev0", "--sflow", wanted.target, "--check");
  const cure = "See ip link for the devices of this network namespace";
  assertEquals([status, errors()], [1, `psample: Cannot find the device nosuchdev0: no such device (ENODEV). ${cure}\n`]);
  assertMatch(text(), /sample 1 in 400 incoming and outgoing packets of nosuchdev0, up to 256 bytes of each\n/);
  // A sample, and the counters of the host.
  assertEquals([(await wanted.until(2)).length, unwanted.receive().length], [2, 0]);
});

test("a pattern that no device matches yet is no fault: the check says what will be sampled", async () => {
  using sflow = new UdpReceiver();
  const { status, text, errors } = await run(`device nosuch*\nsflow ${sflow.target}\nagent 192.0.2.1`, "--check");
  assertEquals([status, errors()], [0, ""]);
  assertMatch(text(), /^x\.conf means:\n {2}sample devices that come later and match nosuch\*\n {2}send sFlow/);
});

test("the help has an example of a configuration", async () => {
  const io = fakeIo();
  assertEquals(await main(["export", "--help", "config"], io), 0);
  for (const words of ["device eth0:1000", "match tcp port 443 or icmp", "replaces all its values in the file"]) {
    assertMatch(io.text(), new RegExp(words));
  }
});
