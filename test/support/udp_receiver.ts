/** A collector of datagrams for tests: a UDP socket of its own, in the network namespace that the thread is in when it opens. */
import { Datagrams } from "../../src/socket/datagrams.ts";
import { familyOf } from "../../src/socket/socket_address.ts";
import { loadSys } from "../../src/sys/load.ts";
import { AF_INET, type Memory, SO_RCVBUFFORCE, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from "../../src/sys/sys.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { ipv4Bytes, ipv6Bytes } from "../../src/wire/text.ts";
import { checked, received } from "./received.ts";

const sys = await loadSys();

/** A socket that listens. */
export class UdpReceiver implements Disposable {
  /** The port that it has. */
  readonly port: number;
  /** The address with the port, as targets are written. */
  readonly target: string;
  /** Everything received so far. */
  readonly datagrams: Uint8Array[] = [];
  readonly #fd: number;
  readonly #batch = new Datagrams(sys, 64, 65536);

  /** Listens on an address; the kernel chooses the port if none is given. */
  constructor(text = "127.0.0.1", port = 0) {
    const address = ipv4Bytes(text) ?? ipv6Bytes(text)!;
    const family = familyOf({ address, port, scope: undefined });
    const bytes = memory(family === AF_INET ? 16 : 28);
    const view = viewOf(bytes);
    view.setUint16(0, family, LITTLE);
    view.setUint16(2, port);
    bytes.set(address, family === AF_INET ? 4 : 8);
    this.#fd = checked("socket", sys.socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    // So that a busy machine loses nothing here; without the privilege it is as large as it is.
    sys.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, int(8 << 20));
    checked("bind", sys.bind(this.#fd, bytes));
    checked("getsockname", sys.getsockname(this.#fd, bytes));
    this.port = view.getUint16(2);
    this.target = `${family === AF_INET ? text : `[${text}]`}:${this.port}`;
  }

  /** Takes what has arrived; returns everything received so far. */
  receive(): readonly Uint8Array[] {
    for (const bytes of received(sys, this.#fd, this.#batch)) this.datagrams.push(bytes.slice());
    return this.datagrams;
  }

  /** Waits until this many datagrams have been received, and returns them all. */
  async until(count: number, ms = 20_000): Promise<readonly Uint8Array[]> {
    const deadline = Date.now() + ms;
    while (this.receive().length < count) {
      if (Date.now() > deadline) throw new Error(`${this.datagrams.length} datagrams have arrived, ${count} were expected`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.datagrams;
  }

  [Symbol.dispose](): void {
    sys.close(this.#fd);
  }
}

function int(value: number): Memory {
  const bytes = memory(4);
  viewOf(bytes).setInt32(0, value, LITTLE);
  return bytes;
}
