/** Names of groups, cookies and VLANs beside the values of keys. */
import type { Labels } from "../../src/format/labels.ts";

/** The flow keys whose values may have names, and the field for the name in JSON and CSV. */
export const LABELLED = { group: "groupLabel", cookie: "cookieLabel", vlan: "vlanLabels" } as const;

/** A kind of key whose values may have a name. */
export type Labelled = keyof typeof LABELLED;

/** The kind of a key: `vlan` also inside tunnels, as `vlan.1`. */
export function kindOf(key: string): Labelled | undefined {
  const kind = key.startsWith("vlan.") ? "vlan" : key;
  return Object.hasOwn(LABELLED, kind) ? kind as Labelled : undefined;
}

/** Whether there are names for values of this kind. */
export function hasLabels(labels: Labels | undefined, kind: Labelled): boolean {
  return labels?.[`${kind}s`] !== undefined;
}

/** The name of the value of a key; `undefined` if it has none, or the text is empty because the flow lacks the key. */
export function labelOf(labels: Labels | undefined, key: string, text: string): string | undefined {
  if (text === "") return undefined;
  switch (kindOf(key)) {
    case "group":
      return labels?.groups?.get(Number(text));
    case "cookie":
      return labels?.cookies?.get(text);
    case "vlan":
      return labels?.vlans?.get(Number(text));
    default:
      return undefined;
  }
}

/** The value of a key, with its name in brackets if it has one. */
export function labelled(labels: Labels | undefined, key: string, text: string): string {
  const label = labelOf(labels, key, text);
  return label === undefined ? text : `${text} (${label})`;
}
