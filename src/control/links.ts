import type { LinkTable } from "../link/link.ts";
import { type LinkType, linkTypeOfSample } from "../link/link_type.ts";
import { type NetnsOptions, open } from "../socket/open.ts";
import type { Sample } from "../psample/sample.ts";
import type { Sys } from "../sys/sys.ts";
import { withTrafficControl } from "./traffic_control.ts";

/**
 * What {@linkcode listLinks} asks for.
 *
 * @category Devices
 */
export interface ListLinksOptions extends NetnsOptions {
  /** Whether to include {@linkcode Link.packets}, which takes the kernel longer. Defaults to false. */
  counters?: boolean | undefined;
}

/**
 * The present devices of a network namespace. No privileges needed.
 *
 * @category Devices
 */
export async function listLinks(options: ListLinksOptions = {}): Promise<LinkTable> {
  return await listLinksWith(await open(options), options);
}

/** {@linkcode listLinks} on a given seam. */
export async function listLinksWith(sys: Sys, { counters = false }: ListLinksOptions = {}): Promise<LinkTable> {
  return await withTrafficControl(sys, (tc) => tc.links(counters));
}

/**
 * Link-layer type of a sample's data: from the type of the device that it was sampled on if `links` has it, else from the sample's
 * protocol, else from the first half byte. `links` are the devices of the sample's own namespace.
 *
 * @category Devices
 */
export function sampleLinkType(sample: Sample, links?: LinkTable): LinkType {
  // On egress the packet already has the form of the output device.
  const index = sample.outIfindex ?? sample.inIfindex;
  const link = index === undefined ? undefined : links?.resolveIfindex(index);
  return linkTypeOfSample(link?.type, sample);
}
