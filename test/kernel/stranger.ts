/**
 * Another program that keeps changing the clsact qdisc of a device: `stranger.ts IFINDEX SEED`. It does what a careful
 * program does: it adds the qdisc unless it is there, puts something in, looks whether that is still there, and takes it out
 * again; and sometimes what a rude one does, which replaces the qdisc with all that is in it. It ends with its standard
 * input, and prints a line of JSON: how often it put something in, how often it replaced, and what it lost.
 */
import { NetlinkError } from "../../src/errors.ts";
import process from "node:process";
import { Requests } from "../../src/socket/requests.ts";
import { loadSys } from "../../src/sys/load.ts";
import { EEXIST, NETLINK_ROUTE } from "../../src/sys/sys.ts";
import { decodeChain, encodeChainDump } from "../../src/tc/chain.ts";
import { encodeFilter, encodeFilterDump } from "../../src/tc/filter.ts";
import { encodeQdisc } from "../../src/tc/qdisc.ts";
import {
  encodeTcHeader,
  RTM_DELCHAIN,
  RTM_NEWCHAIN,
  RTM_NEWTFILTER,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_INGRESS,
  TCA_CHAIN,
} from "../../src/tc/tcmsg.ts";
import { encodeMessage, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST } from "../../src/wire/message.ts";

const ifindex = Number(process.argv[2]);
let seed = Number(process.argv[3]);
const requests = new Requests(await loadSys(), NETLINK_ROUTE);

/** A whole number below `limit`, the same for the same seed. */
function random(limit: number): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor(seed / 2 ** 32 * limit);
}

/** The error number of a request; 0 for success. */
async function errno(message: Uint8Array<ArrayBuffer>): Promise<number> {
  try {
    await requests.request(message, "be a stranger");
    return 0;
  } catch (error) {
    if (error instanceof NetlinkError) return error.errno;
    throw error;
  }
}

/** Something that is put into the qdisc: how to, how to take it out, and whether it is there. */
interface Thing {
  put(): Promise<number>;
  take(): Promise<number>;
  isThere(): Promise<boolean>;
}

function filter(parent: number): Thing {
  const key = { ifindex, parent, preference: 5, handle: 1 };
  return {
    put: () => errno(encodeFilter("add", key, { kind: "matchall", actions: [] })),
    take: () => errno(encodeFilter("delete", { ...key, kind: "matchall" })),
    isThere: async () => {
      const messages = await requests.request(encodeFilterDump({ ifindex, parent, preference: 5 }), "list filters");
      return messages.some(({ type }) => type === RTM_NEWTFILTER);
    },
  };
}

function chain(parent: number): Thing {
  const request = (type: number, flags: number): Uint8Array<ArrayBuffer> =>
    encodeMessage({ type, flags: NLM_F_REQUEST | flags }, encodeTcHeader({ ifindex, handle: 0, parent, info: 0 }), (attr) => {
      attr.u32(TCA_CHAIN, 7);
    });
  return {
    put: () => errno(request(RTM_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL)),
    take: () => errno(request(RTM_DELCHAIN, 0)),
    isThere: async () => {
      const messages = await requests.request(encodeChainDump(ifindex, parent), "list chains");
      return messages.some((message) => message.type === RTM_NEWCHAIN && decodeChain(message).index === 7);
    },
  };
}

const THINGS: readonly Thing[] = [TC_H_CLSACT_INGRESS, TC_H_CLSACT_EGRESS].flatMap((parent) => [filter(parent), chain(parent)]);

const told = { put: 0, replaced: 0, lost: 0, qdiscsLost: 0, foundGone: 0 };
let over = false;
process.stdin.on("end", () => over = true).resume();
process.stdout.write("ready\n");

while (!over) {
  if (random(4) === 0) {
    await errno(encodeQdisc("delete", { ifindex, kind: "clsact" }));
    told.replaced++;
  }
  const found = await errno(encodeQdisc("add", { ifindex, kind: "clsact" })) === EEXIST;
  const thing = THINGS[random(THINGS.length)]!;
  if (await thing.put() !== 0) {
    // A qdisc that was there already may be removed; its own may not.
    if (found) told.foundGone++;
    else told.qdiscsLost++;
    continue;
  }
  told.put++;
  await new Promise((resolve) => setTimeout(resolve, random(3)));
  if (!await thing.isThere()) told.lost++;
  await thing.take();
  if (!found && random(2) === 0) await errno(encodeQdisc("delete", { ifindex, kind: "clsact" }));
  else if (random(2) === 0) await new Promise((resolve) => setTimeout(resolve, random(3)));
}
process.stdout.write(`${JSON.stringify(told)}\n`);
