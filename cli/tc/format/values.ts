/** Pieces that several formats have. */
import { etherTypeName } from "../../../src/wire/ether_types.ts";
import { TC_H_ROOT, TC_H_UNSPEC } from "../../../src/tc/tcmsg.ts";
import type { DocumentWriter } from "./document.ts";

/** The name of a device. */
export type NameOf = (ifindex: number) => string | undefined;

/** A number in hexadecimal. */
export function hex(value: number): string {
  return value.toString(16);
}

/** The same with 8 digits. */
export function hex8(value: number): string {
  return hex(value).padStart(8, "0");
}

/** A handle as major:minor. */
export function classText(handle: number): string {
  if (handle === TC_H_ROOT) return "root";
  if (handle === TC_H_UNSPEC) return "none";
  const major = handle >>> 16;
  const minor = handle & 0xffff;
  return `${major === 0 ? "" : hex(major)}:${minor === 0 ? "" : hex(minor)}`;
}

/** An EtherType. */
export function protocolText(protocol: number): string {
  return etherTypeName(protocol) ?? `[${protocol}]`;
}

/** The name of a device; 0 is any. */
export function writeDevice(out: DocumentWriter, ifindex: number, nameOf: NameOf): void {
  const name = ifindex === 0 ? "*" : nameOf(ifindex) ?? `if${ifindex}`;
  out.field("dev", name, `dev ${name} `);
}
