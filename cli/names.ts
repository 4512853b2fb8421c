/** What `--details` adds that the sample itself does not have: names and types of devices. */
import { type Entry, type LinkTable, listLinks, type Sample, sampleLinkType } from "../mod.ts";
import type { PcapngDevice } from "../src/format/pcapng.ts";
import type { DetailSources } from "../src/format/text.ts";
import { linkTypeOf } from "../src/link/link.ts";

/** {@linkcode DetailSources} that can be brought up to date before a batch is printed. */
export interface Details extends DetailSources {
  /** Resolves when what the batch needs is known, as far as it can be. */
  prepare?(batch: readonly Entry[]): Promise<void>;
  /** What is known of a device. */
  device?(ifindex: number, nsid: number | undefined): PcapngDevice | undefined;
}

/** What is known of a recording: the machine that it was made on is not this one. What it says itself is in `device`. */
export function recordedDetails(device: NonNullable<Details["device"]> = () => undefined): Details {
  return {
    interfaceName: (index, nsid) => device(index, nsid)?.name,
    linkType: (sample) => {
      const index = sample.outIfindex ?? sample.inIfindex;
      return linkTypeOf(index === undefined ? undefined : device(index, sample.nsid)?.type, sample.protocol, sample.data);
    },
    device,
  };
}

/** How long names are believed: devices are renamed seldom. */
const BELIEVED_MS = 10_000;
/** How long to wait before asking again for a device that was not there. */
const RETRY_MS = 500;

/** What is known of this machine; other namespaces have names of their own, which are not known. */
export function liveDetails(): Details {
  let links: LinkTable | undefined;
  let asked = -Infinity;
  const own = (sample: Sample): LinkTable | undefined => sample.nsid === undefined ? links : undefined;
  const missing = (index: number | undefined): boolean => index !== undefined && links?.candidates(index).length === 0;
  return {
    interfaceName: (index, nsid) => nsid === undefined ? links?.resolveIfindex(index)?.name : undefined,
    linkType: (sample) => sampleLinkType(sample, own(sample)),
    device: (index, nsid) => nsid === undefined ? links?.resolveIfindex(index) : undefined,
    prepare: async (batch) => {
      const age = performance.now() - asked;
      const unknown = (): boolean =>
        batch.some((entry) =>
          entry.type === "sample" && entry.nsid === undefined && (missing(entry.inIfindex) || missing(entry.outIfindex))
        );
      if (age < RETRY_MS || (age < BELIEVED_MS && !unknown())) return;
      links = await listLinks();
      asked = performance.now();
    },
  };
}
