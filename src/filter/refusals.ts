/** Refuses what an expression cannot ask of a packet. */
import { type Span, StageOnlyError } from "./filter_error.ts";
import type { Tree } from "./language/tree.ts";

/** Throws at the first word that applies only to samples. */
export function refuseSampleTests(expression: string, tree: Tree): void {
  const at = find(tree, ({ kind }) => kind === "sample");
  if (at) throw new StageOnlyError(expression, at, "only samples have this, not packets");
}

/** Throws at the first word about a tunnel: finding one takes a loop. */
export function refuseTunnels(expression: string, tree: Tree): void {
  const at = find(tree, ({ kind }) => kind === "vni" || kind === "inner");
  if (at) throw new StageOnlyError(expression, at, "the kernel cannot look for a tunnel in a packet");
}

function find(tree: Tree, isWanted: (tree: Tree) => boolean): Span | undefined {
  if (isWanted(tree)) return (tree as Tree & { kind: "sample" }).at;
  switch (tree.kind) {
    case "not":
    case "inner":
      return find(tree.term, isWanted);
    case "and":
    case "or":
      for (const term of tree.terms) {
        const at = find(term, isWanted);
        if (at) return at;
      }
      return undefined;
    default:
      return undefined;
  }
}
