/** What a sample contains about its packet's tunnel. The devices collect metadata (`external`); `tunnel_key` sets that of sent packets. */
import { release } from "node:os";
import { writeFileSync } from "node:fs";
import type { Tunnel } from "../../mod.ts";
import { EMPTY_TUNNEL } from "../support/tunnels.ts";
import { BACK, geneve, hex, INNER, vxlan } from "./frames.ts";
import { hear, IFINDEX, ip, sample, sampled, scene, send, tc, wire } from "./scene.ts";

/** Adds the device `tunnel0`: received packets are sampled into group 20, packets sent with `key` into group 21. */
function addTunnel(type: string, port: number, key: string): void {
  ip(
    `link add name tunnel0 index 120 address 02:00:00:00:00:11 type ${type} external dstport ${port}`,
    "link set dev tunnel0 up",
  );
  tc("qdisc add dev tunnel0 clsact");
  sample("tunnel0 ingress", "rate 1 group 20");
  sample("tunnel0 egress", "rate 1 group 21", `matchall action tunnel_key set ${key} dst_port ${port} tos 0x20 ttl 33 pipe`);
}

function addIpv6(): void {
  writeFileSync("/proc/sys/net/ipv6/conf/a/disable_ipv6", "0");
  ip("address add 2001:db8::1/64 dev a nodad", "neighbour add 2001:db8::2 lladdr 02:00:00:00:00:02 dev a");
}

/** A tunnel with all fields: those given, and nothing else. */
function tunnel(fields: Partial<Tunnel>): Tunnel {
  return { ...EMPTY_TUNNEL, ...fields };
}

const FROM_PEER = { source: "192.0.2.2", destination: "192.0.2.1", tos: 0x10, ttl: 64 };
const TO_PEER = { source: "192.0.2.1", destination: "192.0.2.2", tos: 0x20, ttl: 33 };
const IN = { group: 20, inIfindex: IFINDEX.tunnel0, data: INNER };
const OUT = { group: 21, outIfindex: IFINDEX.tunnel0, data: BACK };

scene("VXLAN over IPv4: both ends, ports, VNI, and whether the outer datagram has a checksum", "module:vxlan", async () => {
  wire();
  addTunnel("vxlan", 4789, "src_ip 192.0.2.1 dst_ip 192.0.2.2 id 43");
  await using ear = await hear({ events: false });
  send("b", vxlan(4, false), vxlan(4, true));
  const received = { ...FROM_PEER, id: 42n, sourcePort: 50000, destinationPort: 4789 };
  await ear.hears(
    sampled({ ...IN, tunnel: tunnel(received) }),
    sampled({ ...IN, sequence: 1, tunnel: tunnel({ ...received, checksum: true }) }),
  );
  send("tunnel0", BACK);
  await ear.hears(sampled({ ...OUT, tunnel: tunnel({ ...TO_PEER, id: 43n, checksum: true, destinationPort: 4789 }) }));
  await ear.hearsNoMore();
});

scene("VXLAN over IPv6", "module:vxlan", async () => {
  wire();
  addIpv6();
  addTunnel("vxlan", 4789, "src_ip 2001:db8::1 dst_ip 2001:db8::2 id 16777215");
  await using ear = await hear({ events: false });
  send("b", vxlan(6, true));
  const ends = { source: "2001:db8::2", destination: "2001:db8::1" };
  const received = { ...FROM_PEER, ...ends, id: 42n, checksum: true, sourcePort: 50000, destinationPort: 4789 };
  await ear.hears(sampled({ ...IN, tunnel: tunnel(received) }));
  send("tunnel0", BACK);
  const sent = { ...TO_PEER, source: ends.destination, destination: ends.source };
  await ear.hears(sampled({ ...OUT, tunnel: tunnel({ ...sent, id: 16777215n, checksum: true, destinationPort: 4789 }) }));
  await ear.hearsNoMore();
});

scene("Geneve with options", "module:geneve", async () => {
  wire();
  addTunnel("geneve", 6081, "src_ip 192.0.2.1 dst_ip 192.0.2.2 id 78 nocsum geneve_opts 0104:05:a1b2c3d4");
  await using ear = await hear({ events: false });
  send("b", geneve());
  await ear.hears(sampled({
    ...IN,
    tunnel: tunnel({
      ...FROM_PEER,
      id: 77n,
      // The outer packet forbids fragmentation; kernels report that for received ones since some time after 6.1.
      dontFragment: !release().startsWith("6.1."),
      sourcePort: 50001,
      destinationPort: 6081,
      geneveOptions: [
        { optionClass: 0x0102, type: 0x80, data: hex("00800022") },
        { optionClass: 0x0103, type: 0x03, data: hex("0011223344556677") },
      ],
    }),
  }));
  send("tunnel0", BACK);
  const geneveOptions = [{ optionClass: 0x0104, type: 0x05, data: hex("a1b2c3d4") }];
  await ear.hears(sampled({ ...OUT, tunnel: tunnel({ ...TO_PEER, id: 78n, destinationPort: 6081, geneveOptions }) }));
  await ear.hearsNoMore();
});
