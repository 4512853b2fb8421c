/** What is in Wireshark's toolbar for psample. */
import { sentence } from "./sentences.ts";

/** The numbers of its controls, in their order. */
export const CONTROL = { rate: 0, lost: 1, traffic: 2, log: 3 } as const;

/** The sentences that describe them. */
export const TOOLBAR_SENTENCES: string = [
  sentence("control", {
    number: CONTROL.rate,
    type: "string",
    display: "Sample 1 in",
    validation: "[1-9][0-9]*",
    tooltip: "1 in N packets is sampled; another N and Enter change that while capturing",
  }),
  sentence("control", { number: CONTROL.lost, type: "string", display: "Lost", tooltip: "Samples that were lost on the way to Wireshark" }),
  sentence("control", {
    number: CONTROL.traffic,
    type: "string",
    display: "Traffic",
    tooltip: "Samples per second, and the traffic that they stand for",
  }),
  sentence("control", { number: CONTROL.log, type: "button", role: "logger", display: "Log", tooltip: "What psample has to say" }),
].join("");
