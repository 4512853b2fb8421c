/** What is known of a sample besides its fields, in the words that JSON and CSV share. */
import type { AnySample } from "../psample/sample_view.ts";
import { ETH_P_802_3_MIN, ETH_P_IP, etherTypeName } from "../wire/ether_types.ts";

/** Which way a packet went when it was sampled; `undefined` if the sample names no interface. */
export function directionOf({ inIfindex, outIfindex }: Pick<AnySample, "inIfindex" | "outIfindex">): "in" | "out" | undefined {
  return outIfindex !== undefined ? "out" : inIfindex !== undefined ? "in" : undefined;
}

/** The name of a sample's EtherType, as in iproute2 except for `"ipv4"`; `undefined` if it has none. */
export function etherTypeText(protocol: number | undefined): string | undefined {
  // Smaller numbers are codes that producers in user space send.
  if (protocol === undefined || protocol < ETH_P_802_3_MIN) return undefined;
  return protocol === ETH_P_IP ? "ipv4" : etherTypeName(protocol);
}
