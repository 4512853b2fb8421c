/** A reader of pcapng as the draft has it, which shares nothing with the one under test. */

export interface PcapngOption {
  readonly code: number;
  readonly value: Uint8Array;
}

export interface PcapngBlock {
  readonly type: number;
  /** The bytes between the head and the options. */
  readonly body: Uint8Array;
  readonly options: PcapngOption[];
  /** The byte order of its section. */
  readonly little: boolean;
}

// Size of a block before its options, without its head; a packet adds its own bytes.
const FIXED: Record<number, number> = { 0x0a0d0d0a: 16, 1: 8, 5: 12, 6: 20 };

/** All blocks of a file; throws if one is invalid. */
export function pcapngBlocks(file: Uint8Array): PcapngBlock[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const blocks: PcapngBlock[] = [];
  let little = true;
  for (let at = 0; at < file.length;) {
    if (view.getUint32(at) === 0x0a0d0d0a) little = view.getUint32(at + 8, true) === 0x1a2b3c4d;
    const type = view.getUint32(at, little);
    const size = view.getUint32(at + 4, little);
    if (size % 4 !== 0 || view.getUint32(at + size - 4, little) !== size) throw new Error(`block ${type} at ${at}: ${size} bytes`);
    let fixed = FIXED[type] ?? size - 12;
    if (type === 6) fixed += (view.getUint32(at + 20, little) + 3) & ~3;
    const options: PcapngOption[] = [];
    let next = at + 8 + fixed;
    const end = at + size - 4;
    while (next < end) {
      const code = view.getUint16(next, little);
      const length = view.getUint16(next + 2, little);
      const value = file.slice(next + 4, next + 4 + length);
      if (next + 4 + length > end) throw new Error(`option ${code} at ${next}: ${length} bytes`);
      for (let i = next + 4 + length; i % 4 !== at % 4; i++) if (file[i] !== 0) throw new Error(`padding at ${i} is ${file[i]}`);
      next += 4 + ((length + 3) & ~3);
      if (code === 0) break;
      options.push({ code, value });
    }
    if (next !== end) throw new Error(`block ${type} at ${at}: options end at ${next}, not ${end}`);
    blocks.push({ type, body: file.slice(at + 8, at + 8 + fixed), options, little });
    at += size;
  }
  return blocks;
}

/** The value of an option as text. */
export function optionText(block: PcapngBlock, code: number): string | undefined {
  const found = block.options.find((option) => option.code === code);
  return found && new TextDecoder("utf-8", { fatal: true }).decode(found.value);
}

/** The value of an option of 4 or 8 bytes as a number. */
export function optionNumber(block: PcapngBlock, code: number): bigint | undefined {
  const found = block.options.find((option) => option.code === code);
  if (!found) return undefined;
  const view = new DataView(found.value.buffer, found.value.byteOffset, found.value.length);
  return found.value.length === 4 ? BigInt(view.getUint32(0, block.little)) : view.getBigUint64(0, block.little);
}
