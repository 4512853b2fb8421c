/**
 * Filters, as iproute2 6.1 prints them.
 *
 * Anything that this package does not decode is mentioned where iproute2 would print it, so that an incomplete list never looks complete.
 */
import type { Filter } from "../../../src/tc/filter.ts";
import { TC_H_CLSACT_EGRESS, TC_H_CLSACT_INGRESS, TC_H_ROOT, TCM_IFINDEX_MAGIC_BLOCK } from "../../../src/tc/tcmsg.ts";
import { toHex } from "../../../src/wire/text.ts";
import { writeBpf } from "./bpf.ts";
import { writeHandle } from "./classifier.ts";
import { writeFlower } from "./flower.ts";
import { writeMatchall } from "./matchall.ts";
import { writeU32 } from "./u32.ts";
import { classText, type NameOf, protocolText, writeDevice } from "./values.ts";
import type { TcOptions } from "../command.ts";
import { type DocumentWriter, documentWriter } from "./document.ts";
import type { TcView } from "../requests.ts";

/** Filters as `tc filter show` prints them. */
export function formatFilters(filters: readonly Filter[], options: TcOptions, view: TcView, nameOf: NameOf): string {
  const out = documentWriter(options);
  for (const filter of filters) writeFilter(out, filter, options, view, nameOf);
  return out.finish();
}

function writeFilter(out: DocumentWriter, filter: Filter, options: TcOptions, view: TcView, nameOf: NameOf): void {
  const { ifindex, parent, preference, protocol, kind, chain, classifier } = filter;
  out.open();
  out.text("filter ");
  if (ifindex === TCM_IFINDEX_MAGIC_BLOCK) {
    out.field("block", parent, `block ${parent} `);
  } else {
    if (!view.ifindex || view.ifindex !== ifindex) writeDevice(out, ifindex, nameOf);
    if (!view.parent || view.parent !== parent) {
      if (parent === TC_H_ROOT) out.field("root", true, "root ");
      else if (parent === TC_H_CLSACT_INGRESS) out.field("ingress", true, "ingress ");
      else if (parent === TC_H_CLSACT_EGRESS) out.field("egress", true, "egress ");
      else out.field("parent", classText(parent), `parent ${classText(parent)} `);
    }
  }
  if (protocol && view.protocol !== protocol) {
    out.field("protocol", protocolText(protocol), `protocol ${protocolText(protocol)} `);
  }
  if (preference && view.preference !== preference) out.field("pref", preference, `pref ${preference} `);
  out.field("kind", kind, `${kind} `);
  if (chain !== undefined && view.chain !== chain) out.field("chain", chain, `chain ${chain} `);
  if (classifier) {
    out.open("options");
    if (classifier.kind === "matchall") writeMatchall(out, classifier, filter.handle, options);
    else if (classifier.kind === "flower") writeFlower(out, classifier, filter.handle, options);
    else if (classifier.kind === "u32") writeU32(out, classifier, filter, options);
    else if (kind !== "bpf" || !writeBpf(out, classifier, filter.handle, options)) {
      writeHandle(out, filter.handle);
      out.field("bytes", toHex(classifier.bytes), "[options: see tc] ");
    }
    out.close();
  }
  out.line();
  out.close();
}
