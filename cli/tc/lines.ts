/** What `psample capture` does, in the words of tc(8), for people who want to know or to do it by hand. */
import type { SamplingOptions } from "../../mod.ts";
import { compileMatch, type Match } from "../../src/filter/match.ts";
import { etherTypeText } from "../../src/wire/ether_types.ts";
import { commandsIn, shellWord, toHex } from "../../src/wire/text.ts";
import { controlText } from "./format/control.ts";
import { flowerWords, TYPED } from "./format/flower_words.ts";

/** The first of the groups that are chosen if none is given. */
const GROUP = 65536;

/** The lines that set up what the options say, beginning with the qdisc. */
export function tcLines(options: SamplingOptions): string[] {
  const { direction = "both" } = options;
  const device = shellWord(`${options.device}`);
  const directions = direction === "both" ? ["ingress", "egress"] : [direction];
  const match = options.match === undefined ? undefined : compileMatch(options.match);
  const filter = `${match?.keys ? flowerText(match) : "matchall"}${hardwareWord(options)}`;
  const lines = [
    `tc qdisc add dev ${device} clsact`,
    ...directions.map((side) => `tc filter add dev ${device} ${side} ${filter} action sample ${actionWords(options)}`),
  ];
  return lines.map((line) => commandsIn(options.netns, line));
}

function flowerText({ protocol, keys = {} }: Match): string {
  // The EtherType is the filter's protocol.
  const words = flowerWords({ ...keys, etherType: undefined }, TYPED).map(({ name, text }) => ` ${name} ${text}`);
  return `protocol ${etherTypeText(protocol)} flower${words.join("")}`;
}

function hardwareWord({ hardware }: SamplingOptions): string {
  return hardware === undefined ? "" : hardware === "only" ? " skip_sw" : " skip_hw";
}

function actionWords({ rate, group, truncateBytes, index, cookie, control = "continue" }: SamplingOptions): string {
  const words: string[] = [];
  if (rate !== undefined) words.push(`rate ${rate}`, `group ${group ?? GROUP}`);
  if (truncateBytes !== undefined) words.push(`trunc ${truncateBytes}`);
  words.push(controlText(control));
  if (index !== undefined) words.push(`index ${index}`);
  if (cookie) words.push(`cookie ${toHex(cookie)}`);
  return words.join(" ");
}
