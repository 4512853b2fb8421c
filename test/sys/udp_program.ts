/** Sends one datagram of three bytes to the target in the first argument. */
import process from "node:process";
import { UdpTarget } from "../../src/socket/udp_target.ts";
import { loadSys } from "../../src/sys/load.ts";

const target = await UdpTarget.open(await loadSys(), process.argv[2]!, { defaultPort: 9, blockBytes: 100, most: 1 });
target.block.set([1, 2, 3]);
target.send(Uint32Array.of(3), 1, () => {});
target.close();
process.stdout.write(`${target.counts.sent} sent\n`);
