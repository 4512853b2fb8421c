/** The public face: what `deno doc` says about every entry point of the package. */
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { ROOT } from "../run/project.ts";
import { CONFIG, deno } from "../run/release.ts";
import { DENO } from "./published.ts";

/** A comment of documentation, with its tags. */
export interface Comment {
  readonly doc?: string;
  readonly tags?: readonly { readonly kind: string; readonly doc?: string }[];
}

/** One declaration of a symbol: a function has one for each overload. */
export interface Declaration {
  readonly kind: string;
  readonly declarationKind: string;
  readonly jsDoc?: Comment;
  readonly location: { readonly filename: string; readonly line: number };
  readonly def?: {
    /** Of a function: whether it is the implementation, not only one of the overloads. */
    readonly hasBody?: boolean;
    /** Of a class: the name of the one that it extends. */
    readonly extends?: string;
    readonly methods?: readonly { readonly name: string }[];
    readonly properties?: readonly { readonly name: string }[];
  };
}

/** What one entry point exports under one name. */
export interface PublicSymbol {
  /** As programs import it: `./packet`. */
  readonly entry: string;
  readonly name: string;
  readonly declarations: readonly Declaration[];
}

/** All symbols of all entry points. One that another entry point exports too is there where it is documented. */
export async function publicFace(): Promise<PublicSymbol[]> {
  const files = Object.values(CONFIG.exports).map((file) => join(ROOT, file));
  const { status, out, err } = await deno(DENO, ROOT, ["doc", "--json", ...files]);
  assertEquals(status, 0, err);
  const { nodes } = JSON.parse(out) as { nodes: Record<string, { symbols?: Omit<PublicSymbol, "entry">[] }> };
  return Object.entries(CONFIG.exports).flatMap(([entry, file]) =>
    (nodes[`file://${join(ROOT, file)}`]?.symbols ?? []).map(({ name, declarations }) => ({
      entry,
      name,
      declarations: shown(declarations),
    }))
  ).filter(({ declarations }) => declarations.length > 0);
}

/** What users are shown: the implementation of overloads is nobody's business. */
function shown(declarations: readonly Declaration[]): Declaration[] {
  const exported = declarations.filter(({ kind, declarationKind }) => kind !== "reference" && declarationKind !== "private");
  const areOverloads = exported.length > 1 && exported.every(({ kind }) => kind === "function");
  return exported.filter(({ def }) => !(areOverloads && def?.hasBody));
}

/** Where a declaration is: `src/packet/headers.ts:17`. */
export function placeOf({ location: { filename, line } }: Declaration): string {
  return `${filename.replace(`file://${ROOT}`, "").replace(/^\//, "")}:${line}`;
}
