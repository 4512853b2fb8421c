/** Labels: names that people give to numbers. */
import { VLAN } from "../packet/header.ts";
import type { AnySample } from "../psample/sample_view.ts";
import type { Batch } from "../stream/batch.ts";
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

/**
 * The names of the VLAN tags of sample `i` of a batch, outermost first, also of those in tunnels; tags without a name are left out. The
 * packet is looked at only if there are names.
 */
export function vlanLabels({ vlans }: Labels, batch: Batch, i: number): readonly string[] {
  const names: string[] = [];
  if (vlans === undefined) return names;
  const packet = batch.packet(i);
  for (let tag = packet.find(VLAN); tag >= 0; tag = packet.find(VLAN, tag + 1)) {
    if (packet.available(tag) < 2) break;
    const at = packet.offsets[tag]!;
    const name = vlans.get((packet.bytes[at]! << 8 | packet.bytes[at + 1]!) & 0xfff);
    if (name !== undefined) names.push(name);
  }
  return names;
}
