import type { FirstHeader } from "../packet/packet_view.ts";
import type { Stage } from "../stream/stage.ts";
import { parseFilter } from "./language/parse.ts";
import { MatchingStage } from "./matching_stage.ts";
import { Packet } from "./packet.ts";
import { predicate } from "./predicate.ts";
import { refuseSampleTests } from "./refusals.ts";
import { forBoth, SampleMatcher } from "./sample_matcher.ts";

/**
 * Lets through the samples whose packets match an expression of pcap-filter(7), with the meaning that it has in libpcap: a packet does not
 * match if a byte that was not captured is needed, `vlan` moves what follows it, and fragments have no ports. Names of ports and protocols
 * are those of a built-in table; nothing is looked up. Metadata of samples can be tested too: `device eth0`, `in eth0`,
 * `out eth0`, `ingress`, `egress`, `group 5`, `rate >= 100`, `queue 3`, `latency > 1ms`, `cookie 0102`. `vni 42` matches packets that went
 * through a VXLAN, Geneve or NVGRE tunnel with that number, and `inner (...)` is about the packet inside the outermost tunnel. Group events
 * pass. An empty filter lets everything through.
 *
 * @throws {FilterError} if the expression is invalid, with the place.
 *
 * @example Print ten samples that are neither ARP nor SSH
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
  return new MatchingStage(tree ? [new SampleMatcher(expression, tree)] : []);
}

/**
 * Makes a function that returns whether a packet matches an expression. It takes the packet's bytes, what it begins with, and its original
 * size, which defaults to the number of bytes given.
 *
 * @throws {FilterError} if the expression is invalid, or asks for something that only samples have.
 * @category Filters
 */
export function packetFilter(expression: string): (packet: Uint8Array, first: FirstHeader, originalBytes?: number) => boolean {
  const tree = parseFilter(expression);
  if (!tree) return () => true;
  refuseSampleTests(expression, tree);
  const packet = new Packet();
  const tests = forBoth(expression, tree, (test) => predicate(test, packet, () => () => false));
  return (bytes, first, originalBytes = bytes.length) => {
    packet.point(bytes, first, originalBytes);
    return tests[first]() && !packet.failed;
  };
}
