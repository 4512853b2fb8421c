/** Distinguishes the samples of one's own sampling from those of others in the same group. */
import { ArgumentError } from "../errors.ts";
import { PSAMPLE_ATTR_USER_COOKIE, PSAMPLE_GENL_NAME } from "../psample/constants.ts";
import { findFamily, withGenericNetlink } from "../socket/family.ts";
import { open } from "../socket/open.ts";
import type { Sys } from "../sys/sys.ts";
import { TCM_IFINDEX_MAGIC_BLOCK } from "../tc/tcmsg.ts";
import { toHex } from "../wire/text.ts";
import { sameHook } from "./passed.ts";
import type { SamplingHandle } from "./sampling/handle.ts";
import { listSamplingWith } from "./sampling/list.ts";
import type { FilterSampling, Sampling } from "./sampling/sampling.ts";

/**
 * The fields that show where a sample comes from. `Sample` has all of them.
 *
 * @category Diagnosis
 */
export interface Origin {
  /** The low 16 bits of the index of the device that the packet came from. */
  readonly inIfindex: number | undefined;
  /** The low 16 bits of the index of the device that the packet leaves by. */
  readonly outIfindex: number | undefined;
  /** The cookie of the action, since Linux 6.11. */
  readonly cookie: Uint8Array | undefined;
  /** The network namespace; `undefined` for the listener's own. */
  readonly nsid: number | undefined;
}

/**
 * Who samples into a group, and whose samples are whose.
 *
 * @category Diagnosis
 */
export interface OwnSamples {
  /** Others' present sampling into the group. */
  readonly others: readonly Sampling[];
  /** Those of them whose samples look exactly like one's own. */
  readonly alike: readonly Sampling[];
  /** Whether a sample is one's own: by the device, the direction, and since Linux 6.11 the cookie. */
  isOwn(sample: Origin): boolean;
}

/**
 * Finds out who else samples into the group of these handles, and tells their samples apart. No privileges needed, except to enter another
 * network namespace.
 *
 * @throws {ArgumentError} if the handles are of several network namespaces.
 * @category Diagnosis
 */
export async function ownSamples(handles: readonly SamplingHandle[]): Promise<OwnSamples> {
  const [netns, ...others] = new Set(handles.map(({ netns }) => netns));
  if (others.length > 0) throw new ArgumentError("The handles belong to several network namespaces, and each has its own groups");
  return await ownSamplesWith(await open({ netns }), handles.flatMap(({ installed }) => installed));
}

/** {@linkcode ownSamples} on a given seam, by what was installed. */
export async function ownSamplesWith(sys: Sys, installed: readonly FilterSampling[]): Promise<OwnSamples> {
  return tellApart(installed, await listSamplingWith(sys), await sendsCookies(sys));
}

async function sendsCookies(sys: Sys): Promise<boolean> {
  const family = await withGenericNetlink(sys, (requests) => findFamily(requests, PSAMPLE_GENL_NAME));
  return (family?.maxAttribute ?? 0) >= PSAMPLE_ATTR_USER_COOKIE;
}

/**
 * Tells samples apart.
 *
 * @param own One's own sampling, into one group.
 * @param all All sampling of the network namespace.
 * @param cookies Whether the kernel sends the cookie of the action with its samples. Drivers never do.
 */
export function tellApart(own: readonly FilterSampling[], all: readonly Sampling[], cookies: boolean): OwnSamples {
  const groups = new Set(own.map(({ group }) => group));
  const others = all.filter((sampling) =>
    groups.has(sampling.group) && sampling.ifindex !== undefined && !own.some((mine) => sameHook(mine, sampling))
  );
  const cookieOf = ({ cookie, where }: Sampling): string => cookies && cookie && where !== "hardware" ? toHex(cookie) : "";
  const alike = others.filter((other) =>
    own.some((mine) =>
      // A block is attached to several devices.
      (other.ifindex === TCM_IFINDEX_MAGIC_BLOCK || (other.ifindex === mine.ifindex && other.direction === mine.direction)) &&
      cookieOf(other) === cookieOf(mine)
    )
  );
  const marks = new Set(own.map((mine) => `${mine.direction} ${mine.ifindex & 0xffff} ${cookieOf(mine)}`));
  return {
    others,
    alike,
    isOwn: ({ inIfindex, outIfindex, cookie, nsid }) => {
      if (nsid !== undefined) return false;
      // Arriving packets have no output device yet.
      const place = outIfindex === undefined ? `ingress ${inIfindex}` : `egress ${outIfindex}`;
      return marks.has(`${place} ${cookie ? toHex(cookie) : ""}`);
    },
  };
}
