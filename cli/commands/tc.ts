import { open } from "../../src/socket/open.ts";
import { Requests } from "../../src/socket/requests.ts";
import { NETLINK_ROUTE } from "../../src/sys/sys.ts";
import type { Command } from "../command.ts";
import { answer } from "../session.ts";
import { runTc } from "../tc/mod.ts";

/** The command `tc`. */
export const tc: Command = {
  name: "tc",
  summary: "the parts of iproute2's tc that concern sampling",
  usage: "tc [-s] [-d] [-j] [-p] [-n NETNS] OBJECT COMMAND ...",
  about: "Accepts tc's syntax, prints tc's output, and exits with tc's status, for qdisc clsact|ingress, filter matchall|flower|u32|bpf " +
    "with action sample, and actions of the kind sample. -n NETNS, or --netns NAME, is the network namespace to work in: a name as ip " +
    "netns lists them, or a path; it requires CAP_SYS_ADMIN.",
  examples: [
    ["psample tc qdisc add dev eth0 clsact", "attach point for filters"],
    ["psample tc filter add dev eth0 ingress matchall action sample rate 9 group 5", "sample incoming packets"],
    ["psample tc actions add action sample rate 100 group 6 trunc 128 index 19", "a shared action"],
    ["psample tc filter add dev eth1 egress matchall action sample index 19", "use the shared action"],
    ["psample tc -s filter show dev eth0 ingress", "with counters"],
    ["psample tc --netns blue filter show dev eth0 ingress", "in the network namespace blue"],
  ],
  options: {},
  run: async (words, io) => {
    let requests: Requests | undefined;
    let deaf: (() => void) | undefined;
    try {
      const opener = async (netns: string | undefined): Promise<Requests> => {
        deaf ??= await answer(io, () => "asking the kernel: there is no answer yet");
        return requests ??= new Requests(await open({ netns }), NETLINK_ROUTE);
      };
      const out = async (text: string): Promise<void> => {
        // On Deno printing blocks while nobody reads: a handler would then keep signals from ending it.
        deaf?.();
        deaf = undefined;
        await io.print(text);
      };
      return await runTc(words, { out, err: (line) => io.err(line) }, opener);
    } finally {
      requests?.close();
      deaf?.();
    }
  },
};
