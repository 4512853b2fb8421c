/** What `psample capture` does, as tc(8) commands, for people who want to know or to do it by hand. */
import type { SamplingOptions } from "../../mod.ts";
import type { Match } from "../../src/filter/match.ts";
import { FIRST_FREE_GROUP } from "../../src/tc/sample_action.ts";
import { ETH_P_ALL, etherTypeText } from "../../src/wire/ether_types.ts";
import { commandsIn, shellWord, toHex } from "../../src/wire/text.ts";
import { byteCode } from "./format/bpf.ts";
import { controlText } from "./format/control.ts";
import { flowerWords, TYPED } from "./format/flower_words.ts";

/** The commands that set up what the options say for packets that match, beginning with the qdisc. */
export function tcLines(options: SamplingOptions, match: Match): string[] {
  const { direction = "both" } = options;
  const device = shellWord(`${options.device}`);
  const directions = direction === "both" ? ["ingress", "egress"] : [direction];
  const filter = `${matchText(match)}${hardwareWord(options)}`;
  const lines = [
    `tc qdisc add dev ${device} clsact`,
    ...directions.map((side) => `tc filter add dev ${device} ${side} ${filter} action sample ${actionWords(options)}`),
  ];
  return lines.map((line) => commandsIn(options.netns, line));
}

/** A classifier and what it compares, as `tc filter add` reads it. */
export function matchText(match: Match): string {
  switch (match.kind) {
    case "matchall":
      return "matchall";
    case "flower": {
      // The EtherType is the filter's protocol.
      const words = flowerWords({ ...match.keys, etherType: undefined }, TYPED).map(({ name, text }) => ` ${name} ${text}`);
      return `protocol ${protocolWord(match.protocol)} flower${words.join("")}`;
    }
    case "bpf":
      return `protocol ${protocolWord(match.protocol)} bpf bytecode '${byteCode(match.program)}'`;
  }
}

function protocolWord(protocol: number): string {
  return protocol === ETH_P_ALL ? "all" : etherTypeText(protocol);
}

function hardwareWord({ hardware }: SamplingOptions): string {
  return hardware === undefined ? "" : hardware === "only" ? " skip_sw" : " skip_hw";
}

function actionWords({ rate, group, truncateBytes, index, cookie, control = "continue" }: SamplingOptions): string {
  const words: string[] = [];
  if (rate !== undefined) words.push(`rate ${rate}`, `group ${group ?? FIRST_FREE_GROUP}`);
  if (truncateBytes !== undefined) words.push(`trunc ${truncateBytes}`);
  words.push(controlText(control));
  if (index !== undefined) words.push(`index ${index}`);
  if (cookie) words.push(`cookie ${toHex(cookie)}`);
  return words.join(" ");
}
