/** A service manager for tests: a socket that gets what a service tells. */
import { Datagrams } from "../../src/socket/datagrams.ts";
import { loadSys } from "../../src/sys/load.ts";
import { AF_UNIX, type EnvironmentName, SOCK_CLOEXEC, SOCK_DGRAM, type Sys } from "../../src/sys/sys.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { checked, received } from "./received.ts";

const sys = await loadSys();

/** The system calls of this runtime, with another environment. */
export function sysWith(environment: Partial<Record<EnvironmentName, string>>): Sys {
  return new Proxy(sys, {
    get: (_, name) => {
      if (name === "environment") return (name: EnvironmentName) => environment[name];
      const own = sys[name as keyof Sys] as unknown;
      return typeof own === "function" ? own.bind(sys) : own;
    },
  });
}

/** A socket that listens at a path, or at @ and an abstract name. */
export class NotifyReceiver implements Disposable {
  /** Every message so far. */
  readonly messages: string[] = [];
  readonly #fd: number;
  readonly #batch = new Datagrams(sys, 16, 4096);

  constructor(name: string) {
    const bytes = new TextEncoder().encode(name);
    const isAbstract = name.startsWith("@");
    const address = memory(2 + bytes.length + (isAbstract ? 0 : 1));
    viewOf(address).setUint16(0, AF_UNIX, LITTLE);
    address.set(bytes, 2);
    if (isAbstract) address[2] = 0;
    this.#fd = checked("socket", sys.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    checked("bind", sys.bind(this.#fd, address));
  }

  /** Takes what has arrived; returns every message so far. */
  receive(): readonly string[] {
    for (const bytes of received(sys, this.#fd, this.#batch)) this.messages.push(new TextDecoder().decode(bytes));
    return this.messages;
  }

  [Symbol.dispose](): void {
    sys.close(this.#fd);
  }
}
