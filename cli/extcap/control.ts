/**
 * The messages between an extcap and Wireshark's toolbar. Source: doc/README.extcap of Wireshark, "Control protocol": one byte 'T', the
 * length of the rest in 24 bits (network order), the number of the control, a command, and a payload of up to 65535 bytes.
 */

/** The commands. Wireshark sends only the first two. */
export const COMMAND = { initialized: 0, set: 1, add: 2, enable: 4, disable: 5, status: 6 } as const;

/** One message. */
export interface ControlMessage {
  /** The number of the control; of no meaning if the command is not about one. */
  readonly control: number;
  /** One of {@linkcode COMMAND}, or one that is not known here. */
  readonly command: number;
  readonly text: string;
}

const MARK = 0x54;
const HEADER = 6;
const MOST_PAYLOAD = 0xffff;

/** The bytes of a message. What is too long is cut. */
export function controlBytes({ control, command, text }: ControlMessage): Uint8Array<ArrayBuffer> {
  const payload = new TextEncoder().encode(text).subarray(0, MOST_PAYLOAD);
  const bytes = new Uint8Array(HEADER + payload.length);
  new DataView(bytes.buffer).setUint32(0, payload.length + 2);
  bytes[0] = MARK;
  bytes[4] = control;
  bytes[5] = command;
  bytes.set(payload, HEADER);
  return bytes;
}

/** Puts messages together from pieces. */
export class ControlReader {
  #bytes = new Uint8Array();

  /** The messages that end in this piece. Bytes that are not of the protocol are skipped. */
  read(piece: Uint8Array): ControlMessage[] {
    const bytes = new Uint8Array(this.#bytes.length + piece.length);
    bytes.set(this.#bytes);
    bytes.set(piece, this.#bytes.length);
    const messages: ControlMessage[] = [];
    let at = 0;
    while (at + HEADER <= bytes.length) {
      const size = new DataView(bytes.buffer).getUint32(at) & 0xff_ffff;
      if (bytes[at] !== MARK || size < 2 || size > MOST_PAYLOAD + 2) {
        at++;
        continue;
      }
      if (at + 4 + size > bytes.length) break;
      const text = new TextDecoder().decode(bytes.subarray(at + HEADER, at + 4 + size));
      messages.push({ control: bytes[at + 4]!, command: bytes[at + 5]!, text });
      at += 4 + size;
    }
    this.#bytes = bytes.slice(at);
    return messages;
  }
}
