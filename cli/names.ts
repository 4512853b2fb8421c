/** What `--details` adds that the sample itself does not have: names and types of devices. */
import { type Entry, type LinkTable, listLinks } from "../mod.ts";
import type { Device, Devices } from "../src/link/device.ts";

/** What is known of devices; can be brought up to date before a batch is printed. */
export interface Details {
  /** The name of an interface in the network namespace `nsid` (`undefined`: the listener's own). */
  interfaceName(ifindex: number, nsid: number | undefined): string | undefined;
  /** Resolves when what the batch needs is known, as far as it can be. */
  prepare?(batch: readonly Entry[]): Promise<void>;
  /** What is known of a device. */
  device?(ifindex: number, nsid: number | undefined): Device | undefined;
}

/** What is known of a recording: the machine that it was made on is not this one. What it says itself is in `device`. */
export function recordedDetails(device: NonNullable<Details["device"]> = () => undefined): Details {
  return {
    interfaceName: (index, nsid) => device(index, nsid)?.name,
    device,
  };
}

/** The devices as lines name them. */
export function namedDevices(details: Details): Devices {
  return {
    find: (index, nsid) => {
      const device = details.device?.(index, nsid);
      return { type: device?.type, address: device?.address, name: details.interfaceName(index, nsid) };
    },
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
  const missing = (index: number | undefined): boolean => index !== undefined && links?.candidates(index).length === 0;
  return {
    interfaceName: (index, nsid) => nsid === undefined ? links?.resolveIfindex(index)?.name : undefined,
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
