/**
 * The two forms in which iproute2 prints one and the same thing: text made of pieces, and JSON made of names and values.
 * A format says both at once, field by field, so that neither forgets what the other has.
 */
import type { TcOptions } from "../command.ts";

/** Where a format goes to. */
export interface DocumentWriter {
  /** A piece of text; nothing in JSON. */
  text(piece: string): void;
  /** The end of a line; nothing in JSON. */
  line(): void;
  /** A name and a value in JSON, a piece of text in text; without a name an element of an array. */
  field(name: string | undefined, value: string | number | bigint | boolean, piece: string): void;
  /** A name and a value that only JSON has. */
  json(name: string, value: string | number | bigint | boolean): void;
  /** Begins an object; nothing in text. */
  open(name?: string): void;
  /** Ends an object. */
  close(): void;
  /** Begins an array; nothing in text. */
  openArray(name?: string): void;
  /** Ends an array. */
  closeArray(): void;
  /** All that was said. */
  finish(): string;
}

/** The form that the options ask for. */
export function documentWriter(options: TcOptions): DocumentWriter {
  return options.json ? jsonOutput(options.pretty) : textOutput(options.oneline ? "\\" : "\n");
}

/** Text, with `newline` at the end of each line. */
function textOutput(newline: string): DocumentWriter {
  let result = "";
  const nothing = (): void => {};
  return {
    text: (piece): void => void (result += piece),
    line: (): void => void (result += newline),
    field: (_name, _value, piece): void => void (result += piece),
    json: nothing,
    open: nothing,
    close: nothing,
    openArray: nothing,
    closeArray: nothing,
    finish: (): string => result,
  };
}

/**
 * JSON as lib/json_writer.c lays it out; `pretty` for many lines. It is not `JSON.stringify`, because iproute2 names
 * fields twice (`success` of u32), and lays the brackets of arrays out in its own way.
 */
function jsonOutput(pretty: boolean): DocumentWriter {
  let result = "";
  let depth = 0;
  let separator = "";
  const separate = (): void => {
    result += separator;
    separator = ",";
  };
  const newLine = (): void => {
    if (pretty) result += `\n${"    ".repeat(depth)}`;
  };
  const name = (text: string | undefined): void => {
    if (text === undefined) return;
    separate();
    newLine();
    separator = "";
    result += `${quote(text)}:${pretty ? " " : ""}`;
  };
  const begin = (bracket: string): void => {
    separate();
    result += bracket;
    depth++;
    separator = "";
  };
  const end = (bracket: string): void => {
    depth--;
    if (separator !== "") newLine();
    result += bracket;
    separator = ",";
  };
  const value = (key: string | undefined, content: string | number | bigint | boolean): void => {
    name(key);
    separate();
    result += typeof content === "string" ? quote(content) : `${content}`;
  };
  const openArray = (key?: string): void => {
    name(key);
    begin("[");
    if (pretty) result += " ";
  };
  const closeArray = (): void => {
    if (pretty && separator !== "") result += " ";
    separator = "";
    end("]");
  };
  const nothing = (): void => {};
  openArray();
  return {
    text: nothing,
    line: nothing,
    field: value,
    json: value,
    open: (key): void => {
      name(key);
      begin("{");
    },
    close: (): void => end("}"),
    openArray,
    closeArray,
    finish: (): string => {
      closeArray();
      return `${result}\n`;
    },
  };
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\t": "\\t",
  "\n": "\\n",
  "\r": "\\r",
  "\f": "\\f",
  "\b": "\\b",
  "\\": "\\\\",
  '"': '\\"',
};

function unicodeEscape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * A string of JSON. iproute2 escapes {@linkcode ESCAPES} and no more; names of devices may have every other control
 * character, of which some are no JSON and some steer a terminal.
 */
function quote(text: string): string {
  const escaped = text.replace(/[\\"\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    return ESCAPES[character] ?? character.split("").map(unicodeEscape).join("");
  });
  return `"${escaped}"`;
}
