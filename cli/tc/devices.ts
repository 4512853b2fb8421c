/** Devices by name. */

/** The longest name of a device. */
const NAME_MAX = 15;

/** Device names to indexes. */
export interface TcLinks {
  /** The index of a device; `undefined` if there is none of that name. */
  indexOf(name: string): number | undefined;
}

/** The index of a device, as ll_name_to_index() finds it: `if7` is index 7 if no device has that name. */
export function deviceIndex(name: string, links: TcLinks): number | undefined {
  const index = links.indexOf(name) ?? Number(/^if(\d+)/.exec(name)?.[1] ?? 0);
  return index > 0 && index <= 0x7fffffff ? index : undefined;
}

/** What iproute2 says if there is no such device. */
export function noDevice(name: string): string {
  // Say so if the name is too long: iproute2 cuts it, and may find another device.
  const long = name.length > NAME_MAX ? `: the name of a device has ${NAME_MAX} characters at most` : "";
  return `Cannot find device "${name}"${long}`;
}
