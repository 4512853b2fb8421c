/** `--label` and `--labels`: names for groups, cookies and VLANs. */
import type { Labels } from "../src/format/labels.ts";
import { pointAt } from "../src/filter/filter_error.ts";
import { fromHex, printable, printableText, toHex } from "../src/wire/text.ts";
import type { Io } from "./io.ts";
import { concerning, UsageError } from "./options.ts";
import type { Session } from "./session.ts";

/** Maximum size of a file of names; a longer file is a mistake. */
const MOST_BYTES = 1 << 20;
/** VLAN identifiers have twelve bits. */
const MOST_VLAN = 0xfff;
const MOST_GROUP = 0xffffffff;

/** Names that are still being collected. */
interface Collected extends Labels {
  readonly groups: Map<number, string>;
  readonly cookies: Map<string, string>;
  readonly vlans: Map<number, string>;
}

/** Reads the values of `--label`, such as `group:5=edge`. */
export function parseLabels(texts: readonly string[], option: string): Labels {
  const collected = collection();
  for (const text of texts) addLabel(collected, text, option);
  return nonEmpty(collected);
}

/** Reads the file of `--labels`, until `over`: one label per line, empty lines, and comments after `#`. */
export async function readLabels(path: string, io: Io, over: AbortSignal): Promise<Labels> {
  const collected = collection();
  (await readText(path, io, over)).split("\n").forEach((line, i) => {
    const label = line.replace(/(^|\s)#.*$/, "").trimEnd();
    if (label.trim() !== "") {
      concerning({ keys: ["labels"] }, () => addLabel(collected, label, `--labels ${printableText(path)}, line ${i + 1}`));
    }
  });
  return nonEmpty(collected);
}

/** All names that were asked for. A pipe that nobody writes to does not keep a session from ending. */
export async function labelsOf(
  { label, labels }: { readonly label?: Labels | undefined; readonly labels?: string | undefined },
  io: Io,
  session: Session,
): Promise<Labels | undefined> {
  const named = labels === undefined ? undefined : await session.unlessOver(readLabels(labels, io, session.over));
  return mergeLabels(named, label);
}

/** All names of both; if both have one, the second wins. */
export function mergeLabels(first: Labels | undefined, second: Labels | undefined): Labels | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const merge = <Key>(
    one: ReadonlyMap<Key, string> | undefined,
    other: ReadonlyMap<Key, string> | undefined,
  ): ReadonlyMap<Key, string> | undefined => one && other ? new Map([...one, ...other]) : one ?? other;
  return {
    groups: merge(first.groups, second.groups),
    cookies: merge(first.cookies, second.cookies),
    vlans: merge(first.vlans, second.vlans),
  };
}

function collection(): Collected {
  return { groups: new Map(), cookies: new Map(), vlans: new Map() };
}

/** Leaves out kinds without names: writers do nothing for them. */
function nonEmpty({ groups, cookies, vlans }: Collected): Labels {
  return {
    groups: groups.size > 0 ? groups : undefined,
    cookies: cookies.size > 0 ? cookies : undefined,
    vlans: vlans.size > 0 ? vlans : undefined,
  };
}

/** Adds a label; `where` is the name that errors give to its place. */
function addLabel(collected: Collected, text: string, where: string): void {
  const wrong = (start: number, end: number, why: string): UsageError => new UsageError(`${where}: ${why}\n${pointAt(text, start, end)}`);
  const start = text.length - text.trimStart().length;
  const colon = text.indexOf(":", start);
  const equals = text.indexOf("=", start);
  const kind = text.slice(start, colon < 0 || (equals >= 0 && equals < colon) ? start : colon);
  if (kind !== "group" && kind !== "cookie" && kind !== "vlan") {
    const end = text.slice(start).search(/[:=]/);
    throw wrong(start, end < 0 ? text.length : start + end, "expected cookie:, group: or vlan:, as in group:5=edge");
  }
  if (equals < 0) throw wrong(text.length, text.length, "expected = and a name, as in group:5=edge");
  const value = text.slice(colon + 1, equals);
  const name = text.slice(equals + 1);
  if (name === "") throw wrong(text.length, text.length, "expected a name");
  const strange = [...name].findIndex((character) => printable(character) !== character);
  if (strange >= 0) {
    const at = equals + 1 + [...name].slice(0, strange).join("").length;
    throw wrong(at, at + 1, "a name cannot contain blanks, backslashes or invisible characters");
  }
  const add = <Key>(names: Map<Key, string>, key: Key): void => {
    const other = names.get(key);
    if (other !== undefined && other !== name) throw wrong(colon + 1, equals, `it is called ${other} already`);
    names.set(key, name);
  };
  if (kind === "cookie") {
    const cookie = fromHex(value);
    if (!cookie || cookie.length === 0) throw wrong(colon + 1, equals, "expected a cookie: hexadecimal digits, an even number of them");
    return add(collected.cookies, toHex(cookie));
  }
  const number = /^(0x[0-9a-fA-F]+|\d+)$/.test(value) ? Number(value) : NaN;
  const most = kind === "vlan" ? MOST_VLAN : MOST_GROUP;
  if (!(number <= most)) throw wrong(colon + 1, equals, `expected a whole number from 0 to ${most}`);
  add(kind === "vlan" ? collected.vlans : collected.groups, number);
}

/** All of a small file, or what has come of it when the session is `over`. */
async function readText(path: string, io: Io, over: AbortSignal): Promise<string> {
  const input = await io.openRecording(path);
  const bytes = new Uint8Array(new ArrayBuffer(MOST_BYTES + 1));
  let length = 0;
  try {
    while (!over.aborted) {
      const size = input.read(bytes.subarray(length) as Uint8Array<ArrayBuffer>);
      if (size === 0) break;
      if (size < 0) await input.wait();
      else length += size;
      if (length > MOST_BYTES) {
        throw new UsageError(`--labels ${printableText(path)} is larger than 1 MiB: it must have one label per line`, { keys: ["labels"] });
      }
    }
  } finally {
    input.close();
  }
  return new TextDecoder().decode(bytes.subarray(0, length));
}
