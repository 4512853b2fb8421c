/** Who numbers samples: a group in a network namespace, of the kernel or of a program that sends samples like it. */

/** The producer of an entry as the key of a map; a number for the kernel in the listener's own namespace, which is nearly all. */
export function producerKey(group: number | undefined, nsid: number | undefined, portId: number): string | number {
  return nsid === undefined && portId === 0 && group !== undefined ? group : `${nsid}/${portId}/${group}`;
}
