/** What has arrived in a socket, by the system calls: for receivers in tests. */
import type { Datagrams } from "../../src/socket/datagrams.ts";
import { EAGAIN, MSG_DONTWAIT, type Sys } from "../../src/sys/sys.ts";

/** The result of a system call; throws if it is an error. */
export function checked(what: string, result: number): number {
  if (result < 0) throw new Error(`${what} failed: errno ${-result}`);
  return result;
}

/** Takes all datagrams that are in a socket now. Each is valid until the next is asked for. */
export function* received(sys: Sys, fd: number, batch: Datagrams): Generator<Uint8Array> {
  for (;;) {
    batch.prepare();
    const count = sys.recvmmsg(fd, batch.address, batch.count, MSG_DONTWAIT);
    if (count === -EAGAIN) return;
    checked("recvmmsg", count);
    const view = batch.own(count);
    for (let i = 0; i < count; i++) yield new Uint8Array(view.buffer, view.byteOffset + batch.start(i), batch.length(i));
  }
}
