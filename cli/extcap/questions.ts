/**
 * The questions that Wireshark asks before it captures: at each start the list of interfaces, and for each of them its options, one process
 * after the other. So this imports little.
 */
import { listLinks } from "../../src/control/links.ts";
import { printable } from "../../src/wire/text.ts";
import { VERSION } from "../version.ts";
import { DEVICE_FIELDS, type Field, SAMPLED_FIELDS } from "./fields.ts";
import { deviceOf, interfaceOf, SAMPLED } from "./interfaces.ts";
import { fieldSentences, sentence } from "./sentences.ts";
import { TOOLBAR_SENTENCES } from "./toolbar_sentences.ts";

/** The words of the questions. */
const QUESTION = { interfaces: "--extcap-interfaces", linkTypes: "--extcap-dlts", options: "--extcap-config" } as const;
const INTERFACE = "--extcap-interface";

/** The answer to what Wireshark asks; `undefined` if that is no question, or one about an interface that is not psample's. */
export async function answerTo(args: readonly string[]): Promise<string | undefined> {
  const known: ReadonlySet<string> = new Set([...Object.values(QUESTION), INTERFACE]);
  const at = args.indexOf(INTERFACE);
  const name = at < 0 ? undefined : args[at + 1];
  const rest = args.filter((arg, i) => !known.has(arg) && !(at >= 0 && i === at + 1) && !arg.startsWith("--extcap-version="));
  if (rest.length > 0) return undefined;
  if (args.includes(QUESTION.interfaces)) return await interfaces();
  if (name === undefined || !isInterface(name)) return undefined;
  if (args.includes(QUESTION.options)) return optionsOf(name);
  return args.includes(QUESTION.linkTypes) ? LINK_TYPES : undefined;
}

/** Whether this is the name of one of psample's interfaces. */
export function isInterface(name: string): boolean {
  return name === SAMPLED || deviceOf(name) !== undefined;
}

/** Only a label: in the recording, each packet has the link type of its device. */
const LINK_TYPES = sentence("dlt", { number: 1, name: "EN10MB", display: "Ethernet, or IP where the device has no link layer" });

async function interfaces(): Promise<string> {
  const names = [...(await listLinks()).links()].flatMap(({ name }) => name === undefined || name === "any" ? [] : [name]);
  const devices = [["any", "every device that is up"], ...names.map((name) => [name, printable(name)])];
  return [
    sentence("extcap", { version: VERSION, display: "psample" }),
    sentence("interface", { value: SAMPLED, display: "psample: what is sampled already" }),
    ...devices.map(([name, display]) => sentence("interface", { value: interfaceOf(name!), display: `psample: ${display}` })),
    TOOLBAR_SENTENCES,
  ].join("");
}

function optionsOf(name: string): string {
  const fields: Readonly<Record<string, Field>> = name === SAMPLED ? SAMPLED_FIELDS : DEVICE_FIELDS;
  return Object.entries(fields).map(([key, field], i) => fieldSentences(i, key, field)).join("");
}
