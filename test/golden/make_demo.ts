/**
 * Writes cli/demo_messages.ts from the recordings here: `deno run -A test/golden/make_demo.ts`.
 * The messages are the kernel's, byte for byte.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { messageType } from "../../src/wire/message.ts";
import { toHex } from "../../src/wire/text.ts";
import { decodeFile } from "../support/decoding.ts";

// Of each recording at most so many messages: enough to show what there is, little enough to read. In the order in which they were
// recorded: times go forward.
const CHOICE: readonly (readonly [string, number])[] = [
  ["ingress", 5],
  ["forward", 3],
  ["trunc13", 1],
  ["tun", 4],
  ["vxlan4", 3],
  ["cookie", 2],
  ["ovs", 3],
];

const messages: string[] = [];
const families = new Set<number>();
for (const [scene, most] of CHOICE) {
  const { items } = decodeFile(new Uint8Array(readFileSync(new URL(`${scene}.new.pcap`, import.meta.url))));
  for (const { message } of items.slice(0, most)) {
    messages.push(toHex(message!));
    families.add(messageType(message!));
  }
}
if (families.size !== 1) throw new Error(`the recordings disagree about the family: ${[...families]}`);

const lines = messages.map((hex) => `  "${hex}",\n`).join("");
writeFileSync(
  new URL("../../cli/demo_messages.ts", import.meta.url),
  `// Made by test/golden/make_demo.ts from the recordings beside it: do not edit.

/** The kernel that sent the messages. */
export const DEMO_SOURCE = "Linux 7.2.7";

/** The number of the psample family in them. */
export const DEMO_FAMILY = ${[...families][0]};

/** The names that the interfaces had. */
export const DEMO_NAMES: Readonly<Record<number, string>> = { 101: "a", 103: "c", 110: "tun0", 120: "vxlan0" };

/** Netlink messages in hexadecimal. */
export const DEMO_MESSAGES: readonly string[] = [
${lines}];
`,
);
