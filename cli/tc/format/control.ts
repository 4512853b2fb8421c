/** What happens to a packet after an action, in iproute2's words. */
import { type Control, encodeControl } from "../../../src/tc/control.ts";
import type { DocumentWriter } from "./document.ts";

/** A control as tc reads it, such as `pipe` and `goto chain 7`. For `queued`, `repeat` and `redirect` tc has no word. */
export function controlText(control: Control): string {
  if (typeof control === "string") return control;
  if ("jump" in control) return `jump ${control.jump}`;
  return "gotoChain" in control ? `goto chain ${control.gotoChain}` : `${control.value}`;
}

/** The controls that iproute2 prints as numbers. */
const UNNAMED: ReadonlySet<unknown> = new Set<Control>(["queued", "repeat", "redirect"]);

/** Writes a control as iproute2 prints it. */
export function writeControl(out: DocumentWriter, control: Control): void {
  const text = controlText(UNNAMED.has(control) ? { value: encodeControl(control) } : control);
  out.open("control_action");
  out.field("type", text.split(" ", 1)[0]!, text);
  if (typeof control === "object" && "jump" in control) out.json("jump", control.jump);
  if (typeof control === "object" && "gotoChain" in control) out.json("chain", control.gotoChain);
  out.close();
}
