/** Entries of `listSampling()`, for tests that evaluate them. */
import type { Sampling } from "../../src/control/sampling/sampling.ts";

/** A matchall filter on arriving packets of `eth0` that samples 1 in 10 into group 5. */
export function hookOf(fields: Partial<Sampling> = {}): Sampling {
  return {
    device: "eth0",
    ifindex: 5,
    direction: "ingress",
    parent: 0xfffffff2,
    preference: 10,
    handle: 1,
    chain: 0,
    kind: "matchall",
    protocol: 3,
    order: 1,
    rate: 10,
    group: 5,
    truncateBytes: undefined,
    index: 1,
    referenceCount: 1,
    bindCount: 1,
    cookie: undefined,
    control: "continue",
    hits: 0n,
    packets: 0n,
    bytes: 0n,
    ages: undefined,
    where: "software",
    ours: false,
    ...fields,
  };
}
