/** flower, as iproute2 6.1 prints it. */
import type { Flower } from "../../../src/tc/flower.ts";
import { toHex } from "../../../src/wire/text.ts";
import type { TcOptions } from "../command.ts";
import { flagWords, writeFilterActions, writeHandle } from "./classifier.ts";
import type { DocumentWriter } from "./document.ts";
import { flowerWords, PRINTED } from "./flower_words.ts";
import { classText } from "./values.ts";

/** TC_H_MIN_PRIORITY and the 16 hardware queues above it: a class that stands for a traffic class of the device. */
const FIRST_HARDWARE_TC = 0xffe0;

/** What follows `flower`. */
export function writeFlower(out: DocumentWriter, flower: Flower, handle: number, options: TcOptions): void {
  const { keys, flags = 0, classId, inHardwareCount, actions } = flower;
  writeHandle(out, handle);
  if (classId !== undefined) {
    const queue = (classId & 0xffff) - FIRST_HARDWARE_TC;
    if (queue >= 0 && queue < 16) out.field("hw_tc", queue, `hw_tc ${queue} `);
    else out.field("classid", classText(classId), `classid ${classText(classId)} `);
  }
  if (keys.inputDevice !== undefined) {
    out.line();
    out.field("indev", keys.inputDevice, `  indev ${keys.inputDevice}`);
  }
  out.open("keys");
  writeKeys(out, flower);
  out.close();
  for (const word of flagWords(flags)) {
    out.line();
    out.field(word, true, `  ${word}`);
    if (word === "in_hw" && inHardwareCount !== undefined) out.field("in_hw_count", inHardwareCount, ` in_hw_count ${inHardwareCount}`);
  }
  writeFilterActions(out, actions, options);
}

function writeKeys(out: DocumentWriter, { keys, unknown }: Flower): void {
  for (const { name, text, value, mask } of flowerWords(keys, PRINTED)) {
    out.line();
    out.text(`  ${name} ${text}`);
    if (typeof value !== "object") {
      out.json(name, value);
      if (mask !== undefined) out.json(`${name}_mask`, mask);
      continue;
    }
    out.open(name);
    for (const [part, content] of value) out.json(part, content);
    out.close();
  }
  for (const { type, value } of unknown) {
    out.line();
    out.field(`key_${type}`, toHex(value), `  key_${type} ${toHex(value)} [see tc]`);
  }
}
