/** What is known of a sample beside its fields, in the words that JSON and CSV share. */
import type { AnySample } from "../psample/sample_view.ts";
import { ETH_P_IP, etherTypeName } from "../wire/ether_types.ts";

/** Smaller numbers are no EtherTypes but lengths, or codes that producers in user space send (IEEE 802.3, 3.2.6). */
const FIRST_ETHERTYPE = 0x600;

/** Which way a packet went when it was sampled; `undefined` if the sample names no interface. */
export function directionOf({ inIfindex, outIfindex }: Pick<AnySample, "inIfindex" | "outIfindex">): "in" | "out" | undefined {
  return outIfindex !== undefined ? "out" : inIfindex !== undefined ? "in" : undefined;
}

/** The name of a sample's EtherType, as iproute2 has it but for `"ipv4"`; `undefined` if it has none. */
export function etherTypeText(protocol: number | undefined): string | undefined {
  if (protocol === undefined || protocol < FIRST_ETHERTYPE) return undefined;
  return protocol === ETH_P_IP ? "ipv4" : etherTypeName(protocol);
}
