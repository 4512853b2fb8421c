/** What the Workers of edge_test.ts do: each has its own backend and receiver. */
import { Receiver } from "../../src/socket/receiver.ts";
import { loadSys } from "../../src/sys/load.ts";
import { NETLINK_USERSOCK } from "../../src/sys/sys.ts";

/** What a Worker is to do. */
export interface Order {
  /** Number of datagrams to expect. */
  readonly count: number;
  /** The byte that fills them. */
  readonly byte: number;
  /** A domain and a protocol for which opening a socket must fail. */
  readonly domain: number;
  readonly protocol: number;
  /** The negative error number of that failure. */
  readonly error: number;
}

/** The messages of a Worker: its port, and then what it received. */
export type Report = { readonly portId: number } | {
  readonly received: number;
  readonly wrong: number;
  readonly wrongErrors: readonly number[];
};

declare const self: {
  postMessage(report: Report): void;
  onmessage: ((event: { data: Order }) => void) | null;
};

self.onmessage = async ({ data: { count, byte, domain, protocol, error } }): Promise<void> => {
  const sys = await loadSys();
  const receiver = await Receiver.open(sys, NETLINK_USERSOCK, { receiveBufferBytes: 1 << 20 });
  self.postMessage({ portId: receiver.portId });
  let received = 0;
  let wrong = 0;
  const wrongErrors: number[] = [];
  const sink = {
    datagram: (view: DataView, start: number, end: number): void => {
      received++;
      for (let at = start; at < end; at++) if (view.getUint8(at) !== byte) wrong++;
    },
    truncated: (): void => void wrong++,
  };
  while (received < count && await receiver.read(sink)) {
    // Each thread has its own error number.
    for (let i = 0; i < 1000; i++) {
      const result = sys.socket(domain, 3, protocol);
      if (result !== error) wrongErrors.push(result);
    }
  }
  await receiver.close();
  self.postMessage({ received, wrong, wrongErrors });
};
