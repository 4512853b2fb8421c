/**
 * Qdiscs, as iproute2 6.1 prints them.
 *
 * Anything that this package does not decode is mentioned where iproute2 would print it, so that an incomplete list never looks complete.
 */
import type { Qdisc } from "../../../src/tc/qdisc.ts";
import { TC_H_ROOT } from "../../../src/tc/tcmsg.ts";
import { toHex } from "../../../src/wire/text.ts";
import { writeStats } from "./stats.ts";
import { classText, hex, hex8, type NameOf, writeDevice } from "./values.ts";
import type { TcOptions } from "../command.ts";
import { type DocumentWriter, documentWriter } from "./document.ts";
import type { TcView } from "../requests.ts";

/** Qdiscs as `tc qdisc show` prints them, except those that the view leaves out. */
export function formatQdiscs(qdiscs: readonly Qdisc[], options: TcOptions, view: TcView, nameOf: NameOf): string {
  const out = documentWriter(options);
  for (const qdisc of qdiscs) {
    if (view.ifindex && view.ifindex !== qdisc.ifindex) continue;
    if (view.handle && view.handle !== qdisc.handle) continue;
    if (view.parent && view.parent !== qdisc.parent) continue;
    writeQdisc(out, qdisc, options, view, nameOf);
  }
  return out.finish();
}

/** Kinds without options of their own to print. */
const BARE_QDISCS: ReadonlySet<string> = new Set(["clsact", "ingress", "noqueue", "mq"]);

function writeQdisc(out: DocumentWriter, qdisc: Qdisc, options: TcOptions, view: TcView, nameOf: NameOf): void {
  const { kind, handle, parent, referenceCount } = qdisc;
  out.open();
  out.field("kind", kind, `qdisc ${kind}`);
  const number = `${hex(handle >>> 16)}:`;
  out.field("handle", number, ` ${number}`);
  if (options.raw) out.text(`[${hex8(handle)}]`);
  out.text(" ");
  if (!view.ifindex) writeDevice(out, qdisc.ifindex, nameOf);
  if (parent === TC_H_ROOT) out.field("root", true, "root ");
  else if (parent) out.field("parent", classText(parent), `parent ${classText(parent)} `);
  if (referenceCount !== 1) out.field("refcnt", referenceCount, `refcnt ${referenceCount} `);
  if (qdisc.offloaded) out.field("offloaded", true, "offloaded ");
  if (qdisc.ingressBlock) out.field("ingress_block", qdisc.ingressBlock, `ingress_block ${qdisc.ingressBlock} `);
  if (qdisc.egressBlock) out.field("egress_block", qdisc.egressBlock, `egress_block ${qdisc.egressBlock} `);
  out.open("options");
  if (qdisc.options) {
    if (kind === "ingress") out.text("---------------- ");
    else if (qdisc.options.length > 0 && !BARE_QDISCS.has(kind)) out.field("bytes", toHex(qdisc.options), "[options: see tc] ");
  }
  out.close();
  out.line();
  if (options.stats && qdisc.stats) {
    writeStats(out, qdisc.stats, " ");
    out.line();
  }
  out.close();
}
