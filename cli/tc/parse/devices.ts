/** Devices by name. */
import { TcRefusal } from "./refusal.ts";

/** Device names to indexes. */
export interface TcLinks {
  /** The index of a device; `undefined` where there is none of that name. */
  indexOf(name: string): number | undefined;
}

/** The index of a device, as ll_name_to_index() finds it: `if7` is index 7 where no device has that name. */
export function device(name: string, links: TcLinks): number {
  const index = links.indexOf(name) ?? Number(/^if(\d+)/.exec(name)?.[1] ?? 0);
  if (index > 0 && index <= 0x7fffffff) return index;
  // A name that is too long has to be said to be: iproute2 cuts it, and may find another device.
  const long = name.length > 15 ? ": the name of a device has 15 characters at most" : "";
  throw new TcRefusal(`Cannot find device "${name}"${long}`, 1);
}
