/** A tun device: a network card whose wire is a file. */
import { closeSync, openSync, writeSync } from "node:fs";
import { libc } from "./namespace.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";

const TUNSETIFF = 0x400454can;
const TUNSETIFINDEX = 0x400454dan;
const IFF_TUN = 1;
const IFF_NO_PI = 0x1000;

/** The device, for as long as it is held. */
export interface Tun extends Disposable {
  /** A packet comes in. */
  write(packet: Uint8Array): void;
}

/** Makes a tun device with a name and a number. */
export function addTun(name: string, ifindex: number): Tun {
  const fd = openSync("/dev/net/tun", "r+");
  const number = memory(4);
  viewOf(number).setInt32(0, ifindex, LITTLE);
  // struct ifreq: 16 bytes of name, then u16 flags.
  const request = memory(40);
  request.set(new TextEncoder().encode(name));
  viewOf(request).setUint16(16, IFF_TUN | IFF_NO_PI, LITTLE);
  if (libc.ioctl(fd, TUNSETIFINDEX, number) !== 0 || libc.ioctl(fd, TUNSETIFF, request) !== 0) throw new Error(`cannot make ${name}`);
  return {
    write: (packet) => void writeSync(fd, packet),
    [Symbol.dispose]: () => closeSync(fd),
  };
}
