/** Everything that takes foreign input, and what must be true of each. */
import { DecodeError, NetlinkError } from "../../src/errors.ts";
import { formatJson } from "../../src/format/json.ts";
import { decodeFamily, genlCommand } from "../../src/genl/ctrl.ts";
import { decodeLink, LinkTable, RTM_GETLINK, RTM_NEWLINK } from "../../src/link/link.ts";
import { linkTypeOf } from "../../src/link/link_type.ts";
import { PACKET_KEYS, packetFields, packetKey, PacketView } from "../../src/packet/mod.ts";
import { decodeGroup } from "../../src/psample/group.ts";
import { viewMessage } from "../../src/psample/group.ts";
import { decodeActions } from "../../src/tc/action.ts";
import { decodeFilter, encodeFilter } from "../../src/tc/filter.ts";
import { FilterError } from "../../src/filter/filter_error.ts";
import { compileMatch } from "../../src/filter/match.ts";
import { decodeQdisc } from "../../src/tc/qdisc.ts";
import { RTM_NEWACTION, RTM_NEWTFILTER, TC_H_CLSACT_INGRESS } from "../../src/tc/tcmsg.ts";
import { ackError, decodeAck, type Message, messageOf, splitMessages } from "../../src/wire/message.ts";
import { longName, milliseconds, type OptionTable, parse, UsageError, wholeNumber } from "../../cli/options.ts";
import { capture } from "../../cli/commands/capture.ts";
import { exportCommand } from "../../cli/commands/export.ts";
import { cleanup } from "../../cli/commands/cleanup.ts";
import type { Command } from "../../cli/command.ts";
import type { OutputValues } from "../../cli/output_options.ts";
import { planOutput } from "../../cli/outputs.ts";
import { filterStart, notACommand, unknownWord } from "../../cli/words.ts";
import { demo } from "../../cli/commands/demo.ts";
import { doctor } from "../../cli/commands/doctor.ts";
import type { Io } from "../../cli/io.ts";
import { list } from "../../cli/commands/list.ts";
import { monitor } from "../../cli/commands/monitor.ts";
import { read } from "../../cli/commands/read.ts";
import type { TcOptions } from "../../cli/tc/command.ts";
import { formatActions } from "../../cli/tc/format/action.ts";
import { formatFilters } from "../../cli/tc/format/filter.ts";
import { formatQdiscs } from "../../cli/tc/format/qdisc.ts";
import { runTc } from "../../cli/tc/mod.ts";
import { parseTc } from "../../cli/tc/parse/command.ts";
import { TcRefusal } from "../../cli/tc/parse/refusal.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { difference, plainWalk } from "../packet/plain_walk.ts";
import { linkMessages } from "../tc/sessions.ts";
import { Broken, LARGE, must, pieces, readFile, sameRead, useApart, useSample, writeAndRead } from "./checks.ts";
import {
  acks,
  actions,
  datagrams,
  families,
  files,
  filters,
  links,
  qdiscs,
  sampledPackets,
  samples,
  smallFile,
  tcLines,
} from "./corpus.ts";
import type { Target } from "./engine.ts";
import { EXPORT_TARGETS } from "./exports.ts";
import { FILTER_TARGETS } from "./filters.ts";
import { decodeWords, encodeWords, mutate, mutateWords } from "./mutate.ts";

function decoder(name: string, recordings: readonly Uint8Array[], run: (input: Uint8Array) => unknown): Target {
  return { name, recordings, mutate, run, refuses: (error) => error instanceof DecodeError, lean: [DecodeError, NetlinkError] };
}

/** Calls a decoder in both byte orders; refuses if both do. */
function inBothOrders<T>(run: (littleEndian: boolean) => T): T[] {
  const values: T[] = [];
  let refusal: unknown;
  for (const littleEndian of [true, false]) {
    try {
      values.push(run(littleEndian));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      refusal = error;
    }
  }
  if (values.length === 0) throw refusal;
  return values;
}

const TC_OPTIONS = { stats: true, details: true, raw: true, json: false, pretty: true, oneline: false };
const TC_FORMS: readonly TcOptions[] = [TC_OPTIONS, { ...TC_OPTIONS, json: true }, {
  ...TC_OPTIONS,
  pretty: false,
  oneline: true,
  raw: false,
}];
/** Formats an entry in every way. JSON stays valid, whatever the names of devices. */
function inEachForm(format: (options: TcOptions) => string): string[] {
  return TC_FORMS.map((options) => {
    const text = format(options);
    if (options.json) JSON.parse(text);
    return text;
  });
}

const TC_VIEW = { ifindex: 0, parent: 0, handle: 0, preference: 0, protocol: 0, chain: undefined };

const KEYS = [...PACKET_KEYS, "ipsource.1", "stack.1", "subnet:/24"].map((name) => packetKey(name)!);
const keyBytes = new Uint8Array(256);

/** Reads the headers as a frame and as IP, whole and cut; what lies around the packet makes no difference. */
function usePacket(input: Uint8Array): unknown {
  return (["ethernet", "raw-ip"] as const).flatMap((first) =>
    [input.length, input.length + 100].map((originalBytes) => {
      const [among, other] = [0x00, 0xff].map((filler) => {
        const memory = new Uint8Array(input.length + 64).fill(filler);
        memory.set(input, 5);
        const packet = new PacketView().decode(memory, 5, 5 + input.length, first, originalBytes);
        const other = difference(packet, plainWalk(memory, 5, 5 + input.length, first, originalBytes), false);
        if (other !== undefined) throw new Broken(`the straight path has ${other}`);
        const places = [5, ...packet.offsets.subarray(0, packet.count), packet.payload, 5 + input.length];
        must(places.every((place, i) => i === 0 || place >= places[i - 1]!), `headers at ${places}`);
        must(packet.cut === 0 || originalBytes > input.length, "something is cut of a whole packet");
        const keys = KEYS.map((key) => {
          const size = key.write(packet, keyBytes, 0);
          must(size <= key.size, "a key that is too long");
          return size < 0 ? undefined : key.text(keyBytes.subarray(0, size));
        });
        return JSON.stringify([packet.stack, packetFields(packet), keys]);
      });
      must(among === other, `with 0 around it ${among}, with 0xff ${other}`);
      return among;
    })
  );
}

// The command line.

const COMMANDS: readonly Command[] = [monitor, capture, exportCommand, read, list, doctor, demo, cleanup];

const VALUES: readonly string[] = [
  "0",
  "1",
  "5",
  "65536",
  "1000",
  "10s",
  "500ms",
  "1h",
  "100MB",
  "1kb",
  "x.pcap",
  "x.pcapng",
  "-",
  "pcap",
  "pcapng",
  "ingress",
  "egress",
  "both",
  "0102",
  "arp",
  "ip proto tcp dst 10.0.0.0/8 dport 80-90",
  "vlan 5",
  "nobody",
  "eth0",
  "192.0.2.9:6343",
  "[fe80::9%eth0]",
];

function optionWords(options: OptionTable): string[] {
  return Object.entries(options).flatMap(([key, { letter, value }]) => [
    longName(key),
    ...(letter ? [`-${letter}`] : []),
    ...(value === undefined
      ? [`${longName(key)}=false`]
      : VALUES.flatMap((text) => [`${longName(key)}=${text}`, ...(letter ? [`-${letter}${text}`] : [])])),
  ]);
}

/** The command lines of the help, and each option of each command alone and with a value. */
const argumentLines: readonly Uint8Array[] = COMMANDS.flatMap((command) => [
  ...command.examples.map(([line]) => {
    const words = [...line.replace(/ \| .*/, "").replace(/^.* \| psample/, "psample").matchAll(/'([^']*)'|(\S+)/g)]
      .map((match) => match[1] ?? match[2]!).slice(1);
    return words[0] === command.name ? words : [command.name, ...words];
  }),
  ...Object.entries(command.options).flatMap(([key, { letter, value }]) => [
    [command.name, longName(key), ...(value === undefined ? [] : ["5"])],
    ...(letter ? [[command.name, `-${letter}${value === undefined ? "" : "5"}`]] : []),
  ]),
]).map(encodeWords);

const argumentWords: readonly string[] = [
  ...new Set([...COMMANDS.flatMap(({ options }) => optionWords(options)), ...VALUES, ...COMMANDS.map(({ name }) => name)]),
];

/** A world in which nothing is on disk. */
function io(): Io {
  return { ...fakeIo({ input: new Proxy({}, { get: () => smallFile }) }) };
}

/** Every check that the commands do by themselves, on every word. */
function checkWords(words: readonly string[]): void {
  for (const text of words) {
    for (const check of [wholeNumber, milliseconds]) {
      try {
        const number = check(text, "it");
        must(number >= 0 && number <= 0xffffffff, `${text} became ${number}`);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
      }
    }
    unknownWord(text, "word", ["one", "another"]);
    notACommand(text, ["one", "another"]);
  }
  must(filterStart(words) < words.length, "a filter that begins behind the words");
}

function parseArguments(words: readonly string[]): unknown {
  const { options: table } = COMMANDS.find(({ name }) => name === words[0]) ?? monitor;
  const rest = words.slice(1);
  checkWords(rest);
  const parsed = parse(rest, table);
  must(parsed.words.every((word) => rest.includes(word)), "a word that was not typed");
  must([...parsed.given].every((key) => key in table), "an option that there is not");
  for (const [key, { value, read }] of Object.entries(table)) {
    const got = parsed.options[key as keyof typeof parsed.options] as unknown;
    // A switch that counts how often it was given has that number.
    if (value === undefined) {
      must((typeof got === "number" ? got > 0 : got) === parsed.given.has(key), `${longName(key)} is not what was typed`);
    } else if (!parsed.given.has(key)) must(parsed.options[key] === read([], longName(key)), `${longName(key)} has no default`);
    else must(parsed.options[key] !== undefined && parsed.options[key] !== "", `${longName(key)} has lost its value`);
  }
  if ("write" in table) planOutput(parsed.options as OutputValues, io());
  return [parsed.options, parsed.words];
}

/** The commands that touch nothing but what they are given. */
async function runCommand(words: readonly string[]): Promise<unknown> {
  const world = io();
  const rest = words.slice(1);
  if (words[0] === "read") return await read.run(rest, world);
  const { given, options, words: devices } = parse(rest, capture.options);
  const named = [...options.device as string[] | undefined ?? [], ...devices];
  // It would set sampling up, or ask the kernel what devices there are.
  if (!given.has("dryRun") || given.has("explain") || given.has("netns") || named.some((word) => /^any$|[*?[]/.test(word))) {
    return undefined;
  }
  return await capture.run(rest, world);
}

const commandLines: readonly Uint8Array[] = argumentLines.flatMap((line) => {
  const [name, ...rest] = decodeWords(line);
  return name === "read" ? [line] : name === "capture" ? [encodeWords([name, "--dry-run", ...rest])] : [];
});

const linkAnswers = linkMessages();
/** Some of what was recorded of each kind of object, so that a list has something of everything. */
const [qdiscAnswers, filterAnswers, actionAnswers] = [qdiscs, filters, actions].map((list) => {
  const messages = list.map((bytes) => messageOf(bytes)).filter(({ type, bytes }) => type % 4 !== 2 && bytes.length < 2048);
  return messages.filter((_, i) => i % Math.ceil(messages.length / 8) === 0);
}) as [Message[], Message[], Message[]];

/** Runs words against a kernel that takes everything and answers questions with what it answered once. */
async function runTcLine(words: readonly string[]): Promise<unknown> {
  let out = "";
  let err = "";
  const sent: Uint8Array[] = [];
  const request = (bytes: Uint8Array<ArrayBuffer>): Promise<Message[]> => {
    const messages = splitMessages(bytes);
    must(messages.length === 1, "a request that is not one message");
    const [message] = messages as [Message];
    sent.push(bytes);
    if (message.type === RTM_GETLINK) return Promise.resolve(linkAnswers);
    // What is sent is like what the kernel sends: the decoders read it.
    const [decode, answers] = message.type < RTM_NEWTFILTER
      ? [decodeQdisc, qdiscAnswers]
      : message.type < RTM_NEWACTION
      ? [decodeFilter, filterAnswers]
      : [decodeActions, actionAnswers];
    decode(message);
    // Of the four types of messages about a kind of object the third asks: RTM_GET...
    return Promise.resolve(message.type % 4 === 2 ? answers : []);
  };
  const io = { out: (text: string): void => void (out += text), err: (text: string): void => void (err += text) };
  const status = await runTc(words, io, { request });
  must(Number.isInteger(status) && status >= 0 && status <= 255, `the status ${status}`);
  must(status === 0 || err.endsWith("\n"), "a failure without a word");
  const command = parseTc(words);
  if (command.kind === "command" && command.options.json && out !== "") JSON.parse(out);
  return [status, err, sent];
}

const tcWords: readonly string[] = [...new Set(tcLines.flat())];

const MATCHES: readonly string[] = [
  "arp",
  "ip src net 192.0.2.0/24",
  "ip and tcp and dst net 10.0.0.0/8 and dst portrange 80-90",
  "ip6 and udp src port 53 and dst net 2001:db8::/32",
  "vlan 5 and ip src host 192.0.2.1",
  "sctp and not dst portrange 1-65535",
  "icmp [ icmptype ] = icmp-echo or icmp6",
  "ether proto 0x88b5 or ether src 02:00:00:00:00:01",
  "tcp [ tcpflags ] & ( tcp-syn | tcp-ack ) = tcp-syn",
  "ip [ 8 ] = 5 and ip [ 1 ] & 0xfc = 0xb8",
  "ether [ ether [ 15 ] : 2 ] = len",
  "ip proto 47 or mpls 5 and ip6",
];

const matchWords: readonly string[] = [
  ...new Set(MATCHES.flatMap((match) => match.split(" "))),
  ..."&& || ! host port 0x10000 4096 65536 0 ::/0 0.0.0.0/0 rate > >= < != group vni inner broadcast multicast".split(" "),
];

/** All of them. */
export const TARGETS: readonly Target[] = [
  decoder("messages", datagrams, (input) =>
    inBothOrders((littleEndian) => {
      const messages = splitMessages(input, littleEndian);
      must(messages.length <= input.length / 16, "more messages than there is room for");
      must(messages.every(({ payload }) => payload.length <= input.length - 16), "a message that is longer than the datagram");
      return messages;
    })),
  decoder("sample", samples, (input) => inBothOrders((littleEndian) => useSample(input, littleEndian))),
  decoder("group", samples, (input) =>
    inBothOrders((littleEndian) => {
      const item = viewMessage(messageOf(input, littleEndian), 7);
      if (item === undefined || item.type === "sample") return item?.copy();
      must(formatJson(item) === `${JSON.stringify(item)}\n`, "the line of JSON differs from JSON.stringify");
      return [item, decodeGroup(messageOf(input, littleEndian))];
    })),
  decoder("controller", families, (input) => {
    genlCommand(messageOf(input));
    return inBothOrders((littleEndian) => decodeFamily(messageOf(input, littleEndian)));
  }),
  decoder("link", links, (input) => {
    const message = messageOf(input);
    const link = decodeLink(message);
    const table = LinkTable.of([{ ...message, type: RTM_NEWLINK }, { ...message, type: RTM_NEWLINK }]);
    must(table.size === 1 && table.byName(link.name)?.index === link.index, "the table lost the device");
    return [link, table.resolveIfindex(link.index), linkTypeOf(link.type, message.sequence & 0xffff, message.payload)];
  }),
  decoder("qdisc", qdiscs, (input) => {
    const qdisc = decodeQdisc(messageOf(input));
    return [qdisc, inEachForm((form) => formatQdiscs([qdisc], form, TC_VIEW, () => "x"))];
  }),
  decoder("filter", filters, (input) => {
    const filter = decodeFilter(messageOf(input));
    return [filter, inEachForm((form) => formatFilters([filter], form, TC_VIEW, () => "x"))];
  }),
  decoder("action", actions, (input) => {
    const message = decodeActions(messageOf(input));
    return [message, inEachForm((form) => formatActions([message], form))];
  }),
  decoder("ack", acks, (input) => {
    const ack = decodeAck(messageOf(input));
    must(ack.errno >= 0, `a negative error number: ${ack.errno}`);
    return [ack, ackError("do it", ack)?.message];
  }),
  {
    name: "packet",
    recordings: sampledPackets,
    mutate,
    run: usePacket,
    // Whatever a packet is, something is known of it.
    refuses: () => false,
  },
  decoder(
    "apart",
    samples.filter(({ length }) => length < LARGE),
    (input) => inBothOrders((littleEndian) => useApart(input, littleEndian)),
  ),
  decoder("file", files, (input) => {
    const inPieces = readFile(pieces(input));
    const atOnce = readFile([input as Uint8Array<ArrayBuffer>]);
    if (!sameRead(inPieces, atOnce)) throw new Broken(`in pieces ${JSON.stringify(inPieces)}, at once ${JSON.stringify(atOnce)}`);
    return inPieces;
  }),
  decoder("written", samples.filter(({ length }) => length < LARGE), (input) =>
    inBothOrders((littleEndian) => {
      const item = viewMessage(messageOf(input, littleEndian));
      if (item === undefined) return undefined;
      const message = item.message!;
      // A file says in which byte order a message is, and the message's own length tells the writer.
      const told = new DataView(message.buffer, message.byteOffset).getUint32(0, littleEndian) === message.length;
      if (!told || message.length < 4) return undefined;
      return [true, false, undefined].map((order) => writeAndRead(item, message, order));
    })),
  {
    name: "arguments",
    recordings: argumentLines,
    mutate: (random, lines) => mutateWords(random, lines, argumentWords),
    run: (input) => parseArguments(decodeWords(input)),
    refuses: (error) => error instanceof UsageError,
    lean: [UsageError],
    describe: (input) => JSON.stringify(decodeWords(input)),
  },
  {
    name: "command",
    recordings: commandLines,
    mutate: (random, lines) => mutateWords(random, lines, argumentWords),
    run: (input) => runCommand(decodeWords(input)),
    refuses: (error) => error instanceof UsageError || error instanceof DecodeError,
    lean: [UsageError, DecodeError],
    describe: (input) => JSON.stringify(decodeWords(input)),
  },
  {
    name: "tc",
    recordings: tcLines.map(encodeWords),
    mutate: (random, lines) => mutateWords(random, lines, tcWords),
    run: (input) => runTcLine(decodeWords(input)),
    // It has no error to throw: a refusal is a value.
    refuses: () => false,
    lean: [TcRefusal],
    describe: (input) => JSON.stringify(decodeWords(input)),
  },
  {
    name: "match",
    recordings: MATCHES.map((match) => encodeWords(match.split(" "))),
    mutate: (random, lines) => mutateWords(random, lines, matchWords),
    run: (input) => {
      const expression = decodeWords(input).join(" ");
      return (["ethernet", "raw-ip"] as const).map((first) => {
        const match = compileMatch([expression], first);
        if (match.kind === "matchall") return match;
        // What is accepted can be sent.
        const key = { ifindex: 1, parent: TC_H_CLSACT_INGRESS, protocol: match.protocol };
        const [message] = splitMessages(encodeFilter("add", key, match));
        return [match, decodeFilter(message!)];
      });
    },
    refuses: (error) => error instanceof FilterError,
    lean: [FilterError],
    describe: (input) => JSON.stringify(decodeWords(input).join(" ")),
  },
  ...FILTER_TARGETS,
  ...EXPORT_TARGETS,
];
