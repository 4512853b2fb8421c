/**
 * Watches everything that is sampled on this machine, and reports within a second if samples were lost, and why.
 *
 *     deno run --allow-ffi examples/alert_on_loss.ts
 *     bun examples/alert_on_loss.ts
 */
// deno-lint-ignore-file no-console
import { endOnSignals, listen } from "@psample/psample";

const signal = await endOnSignals();
await using listener = await listen({ events: false, signal });

let { lost, dropped } = listener.stats();
function check(): void {
  const now = listener.stats();
  // It may fall: samples that counted as lost were only late.
  if (now.lost > lost) {
    const why = now.dropped > dropped ? "the receive buffer was full" : "they never reached the receive buffer";
    console.error(`${new Date().toISOString()} ALERT ${now.lost - lost} samples lost: ${why}`);
  }
  ({ lost, dropped } = now);
}
const timer = setInterval(check, 1000);
try {
  // Reading is what keeps the buffer empty. Nothing is kept of a sample, so it may be lent, which is cheapest.
  for await (const _batch of listener.lentBatches());
} finally {
  clearInterval(timer);
  check();
}
console.log(`received ${listener.stats().received} samples, lost ${lost}`);
