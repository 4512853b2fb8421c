/** `psample extcap`: what Wireshark and tshark start to list devices, to ask for options, and to capture samples. */
import { SystemError } from "../../mod.ts";
import { openPipe } from "../../src/sink/pipes.ts";
import { open } from "../../src/socket/open.ts";
import { shellWord } from "../../src/wire/text.ts";
import type { Command, Description } from "../command.ts";
import { expandDevices } from "../devices.ts";
import { DEVICE_FIELDS, SAMPLED_FIELDS } from "../extcap/fields.ts";
import { install, ownWords, personalFolders } from "../extcap/install.ts";
import { deviceOf, interfaceOf, SAMPLED } from "../extcap/interfaces.ts";
import { answerTo, isInterface } from "../extcap/questions.ts";
import { Toolbar } from "../extcap/toolbar.ts";
import type { Face } from "../face.ts";
import type { Io } from "../io.ts";
import { flag, longName, type OptionTexts, parse, refusal, text, UsageError, valuesOf } from "../options.ts";
import { planPipe, writeNothing } from "../outputs.ts";
import { STATUS } from "../session.ts";
import { CAPTURE_OPTIONS, runCapture, samplingOptions } from "./capture.ts";
import { MONITOR_OPTIONS, runMonitor } from "./monitor.ts";

const { rate, direction, match, trunc, group } = CAPTURE_OPTIONS;

/** The words of the protocol, and the options of the dialog. */
const OPTIONS = {
  install: flag({
    help: "make Wireshark find psample, and print how to undo that",
    details: "Writes a file of two lines that starts this command: into DIRECTORY, or into the user's own folders, of which Wireshark " +
      "reads one up to 4.0 and the other since 4.2. tshark -G folders prints those for all users.",
  }),
  extcapInterfaces: flag({
    help: "list the interfaces",
    details: "What is sampled already, all devices together, and each device. Needs no privileges.",
  }),
  extcapVersion: text({ value: "VERSION", help: "the version of Wireshark that asks", details: "Nothing depends on it." }),
  extcapInterface: text({
    value: "NAME",
    help: "the interface, as --extcap-interfaces lists it",
    details: "psample, psample-any, or psample-DEVICE.",
  }),
  extcapDlts: flag({ help: "list the link types of the interface", details: "A label only: each packet has the type of its device." }),
  extcapConfig: flag({ help: "list the options of the interface, for Wireshark's dialog", details: "Needs no privileges." }),
  capture: flag({
    help: "capture into --fifo until Wireshark ends it",
    details: "It ends on SIGTERM, or when nobody reads the pipe any more.",
  }),
  fifo: text({ value: "PIPE", help: "the named pipe to capture into", details: "Wireshark makes it. The recording in it is pcapng." }),
  extcapCaptureFilter: text({
    value: "EXPR",
    help: "the capture filter: --filter of psample capture",
    details: "Selects among the samples. Without --capture it is only checked, and errors are printed.",
  }),
  extcapControlIn: text({ value: "PIPE", help: "the pipe from the toolbar", details: "Wireshark makes it." }),
  extcapControlOut: text({ value: "PIPE", help: "the pipe to the toolbar", details: "Wireshark makes it." }),
  rate: { ...rate, letter: undefined },
  direction,
  match,
  trunc: { ...trunc, letter: undefined },
  group: { ...group, letter: undefined },
  wait: MONITOR_OPTIONS.wait,
};

const DESCRIPTION: Description = {
  name: "extcap",
  summary: "let Wireshark and tshark capture samples",
  usage: "extcap --install [DIRECTORY]",
  about: 'Makes every device appear in Wireshark as a separate interface, "psample: eth0", and what is sampled already as another. ' +
    "Capturing on a device samples the device, as psample capture does; stopping removes the filters again. --install does what is necessary " +
    "for that. All other options are for Wireshark, as defined by extcap(4). Capturing requires CAP_NET_ADMIN, which Wireshark " +
    "passes on if it has it.",
  examples: [
    ["psample extcap --install", "for the current user"],
    ["sudo psample extcap --install /usr/lib/x86_64-linux-gnu/wireshark/extcap", "for all users, where Debian's Wireshark looks"],
    ["tshark -D", "psample-eth0 is in the list"],
    ["tshark -i psample-eth0 -o extcap.psample_eth0.rate:100", "1 packet in 100"],
    ["tshark -i psample", "what others sample"],
    ["psample extcap --extcap-config --extcap-interface psample-eth0", "the options that Wireshark's dialog shows"],
  ],
  options: OPTIONS,
  operands: { name: "DIRECTORY", least: 0, most: 1, offers: { things: ["file"] } },
};

/** The command `extcap`. */
export const extcap: Command = {
  ...DESCRIPTION,
  run: async (args, io) => {
    const given = withoutEmpty(args);
    if (!given.includes("--capture")) return await answer(given, io);
    try {
      return await inPipes(given, (pipes) => start(given, pipes, io));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      // Wireshark shows it beside its own dialog: there is no command line whose help would explain it.
      io.err(`psample: ${error.message}\n`);
      return STATUS.usage;
    }
  },
};

/** Whether Wireshark calls: the program may be in its folder under another name, and then does not know that it is an extcap. */
export function isExtcapCall(args: readonly string[]): boolean {
  return args[0]?.startsWith("-") === true && args.some((arg) => arg.startsWith("--extcap-"));
}

/** Leaves out options with an empty value: fields of the dialog with nothing in them. */
function withoutEmpty(args: readonly string[]): string[] {
  return args.filter((arg, i) => arg !== "" && !(args[i + 1] === "" && arg.startsWith("--")));
}

/** Answers a question of Wireshark's, or installs. */
async function answer(args: readonly string[], io: Io): Promise<number> {
  const { options, words, texts } = parse(args, OPTIONS);
  const { extcapInterfaces, extcapInterface: name, extcapDlts, extcapConfig, extcapCaptureFilter: filter } = options;
  if (words.length > (options.install ? 1 : 0)) throw new UsageError(`unexpected argument ${JSON.stringify(words.at(-1))}`);
  if (options.install) {
    await io.print(await installed(words[0]));
  } else if (extcapInterfaces) {
    await io.data((await answerTo([longName("extcapInterfaces")]))!);
  } else if (name !== undefined && (extcapDlts || extcapConfig)) {
    checkInterface(name);
    const question = longName(extcapConfig ? "extcapConfig" : "extcapDlts");
    await io.data((await answerTo([question, longName("extcapInterface"), name]))!);
  } else if (name !== undefined && filter !== undefined) {
    // Nothing is said of a good one.
    const wrong = refusal(() => valuesOf(captureTexts(texts), { filter: CAPTURE_OPTIONS.filter }));
    await io.data(wrong === undefined ? "" : `${wrong}\n`);
  } else {
    throw new UsageError("Wireshark gives this command its other arguments: psample extcap --install makes Wireshark find it");
  }
  return STATUS.done;
}

async function installed(directory: string | undefined): Promise<string> {
  const sys = await open();
  const paths = install(directory === undefined ? personalFolders((name) => sys.environment(name)) : [directory], ownWords());
  return `${paths.join("\n")}\nWireshark lists psample's interfaces at its next start (tshark -D does now). To undo it:\n` +
    `rm ${paths.map(shellWord).join(" ")}\n`;
}

/** Refuses names that are not psample's. */
function checkInterface(name: string): void {
  if (!isInterface(name)) throw new UsageError(`unknown interface ${JSON.stringify(name)}: it is ${SAMPLED}, or ${interfaceOf("DEVICE")}`);
}

/** What was typed, by the names that the other commands have for it. */
function captureTexts(texts: OptionTexts): OptionTexts {
  const filter = texts.get("extcapCaptureFilter");
  return new Map([...texts, ...filter ? [["filter", filter] as const] : []]);
}

/** The pipes of a capture. */
interface Pipes {
  readonly toolbar: Toolbar | undefined;
  /** Opens the pipe for the samples, once. */
  open(signal?: AbortSignal): ReturnType<typeof openPipe>;
}

/** How long to wait until Wireshark reads the pipe for the samples, or if there will be none. */
const READER_MS = 30_000;
const FAILURE_MS = 5_000;

/**
 * Does something with the pipes that Wireshark has made. They are opened whatever the other arguments are, because Wireshark waits for that:
 * if it fails before there are samples, Wireshark gets none, and then shows why.
 */
async function inPipes(args: readonly string[], work: (pipes: Pipes) => Promise<number>): Promise<number> {
  const value = (key: string): string | undefined => {
    const at = args.indexOf(longName(key));
    return at < 0 ? undefined : args[at + 1];
  };
  const [fifo, controlIn, controlOut] = ["fifo", "extcapControlIn", "extcapControlOut"].map(value);
  let toolbar: Toolbar | undefined;
  let wasOpened = false;
  const openFifo = async (waitMs: number, signal?: AbortSignal): ReturnType<typeof openPipe> => {
    if (fifo === undefined) throw new UsageError("--capture requires --fifo PIPE");
    const pipe = await openPipe(fifo, { waitMs, signal });
    wasOpened = true;
    return pipe;
  };
  try {
    if (controlIn !== undefined && controlOut !== undefined) toolbar = await Toolbar.open(controlIn, controlOut);
    return await work({ toolbar, open: (signal) => openFifo(READER_MS, signal) });
  } catch (error) {
    // If that fails too, the first reason is the one to report.
    if (!wasOpened) await openFifo(FAILURE_MS).then(writeNothing, () => {});
    throw error instanceof SystemError && error.code === "EPERM" ? withCure(error) : error;
  } finally {
    await toolbar?.close();
  }
}

/** What somebody can do who has no right to sample: start Wireshark with it, or let root sample. docs/wireshark.md explains both. */
export const NO_RIGHT: readonly [string, string] = [
  "sudo -E setpriv --reuid=$(id -u) --regid=$(id -g) --init-groups --inh-caps=+net_admin --ambient-caps=+net_admin wireshark",
  "sudo psample capture DEVICE -w - | wireshark -k -i -",
];

function withCure(error: SystemError): SystemError {
  const [start, pipe] = NO_RIGHT;
  error.message += `. Wireshark starts psample with its own privileges. Start it with this one: ${start}. Or let root sample: ${pipe}`;
  return error;
}

async function start(args: readonly string[], { toolbar, open: openFifo }: Pipes, io: Io): Promise<number> {
  const { options, given, words, texts } = parse(args, OPTIONS);
  const name = options.extcapInterface;
  if (words.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(words[0])}`);
  if (name === undefined) throw new UsageError("--capture requires --extcap-interface NAME");
  checkInterface(name);
  const own = name === SAMPLED ? SAMPLED_FIELDS : DEVICE_FIELDS;
  const other = [...given].find((key) => key in { ...SAMPLED_FIELDS, ...DEVICE_FIELDS } && !(key in own));
  if (other !== undefined) {
    throw new UsageError(`${longName(other)} is not an option of ${name}, which has ${Object.keys(own).map(longName).join(", ")}`);
  }
  const typed = captureTexts(texts);
  const face: Face = {
    plan: planPipe(openFifo),
    onNotice: (text) => toolbar?.log(text),
    follow: (running) => toolbar?.follow(running) ?? (() => {}),
  };
  if (name === SAMPLED) return await runMonitor(valuesOf(typed, MONITOR_OPTIONS), io, face);
  const values = valuesOf(typed, CAPTURE_OPTIONS);
  const devices = await expandDevices([deviceOf(name)!], undefined, io);
  return await runCapture(values, samplingOptions(values, given, devices), io, face);
}
