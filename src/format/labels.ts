/** Labels: names that people give to numbers. */
import { VLAN } from "../packet/header.ts";
import type { Headers } from "../packet/headers.ts";
import type { AnySample } from "../psample/sample_view.ts";
import { toHex } from "../wire/text.ts";

/**
 * Names of groups, cookies and VLANs, which writers add to what they write.
 *
 * @category Pump
 */
export interface Labels {
  /** By the number of the group. */
  readonly groups?: ReadonlyMap<number, string> | undefined;
  /** By the cookie in lower-case hexadecimal digits. */
  readonly cookies?: ReadonlyMap<string, string> | undefined;
  /** By the identifier of the VLAN, 0 to 4095. */
  readonly vlans?: ReadonlyMap<number, string> | undefined;
}

/** The name of a sample's group. */
export function groupLabel({ groups }: Labels, { group }: { readonly group: number | undefined }): string | undefined {
  return group === undefined ? undefined : groups?.get(group);
}

/** The name of a sample's cookie. */
export function cookieLabel({ cookies }: Labels, { cookie }: AnySample): string | undefined {
  return cookies === undefined || cookie === undefined ? undefined : cookies.get(toHex(cookie));
}

/** The names of a packet's VLAN tags, outermost first, also of those in tunnels; tags without a name are left out. */
export function vlanLabels({ vlans }: Labels, packet: Headers): readonly string[] {
  const names: string[] = [];
  if (vlans === undefined) return names;
  for (let i = packet.find(VLAN); i >= 0; i = packet.find(VLAN, i + 1)) {
    if (packet.available(i) < 2) break;
    const at = packet.offsets[i]!;
    const name = vlans.get((packet.bytes[at]! << 8 | packet.bytes[at + 1]!) & 0xfff);
    if (name !== undefined) names.push(name);
  }
  return names;
}
