/** What the Worker of listener_test.ts does: it listens, and says what it hears. */
import { listen } from "../../mod.ts";

declare const self: { postMessage(message: unknown): void };

const listener = await listen({ events: false });
self.postMessage("listening");
for await (const entry of listener) {
  // Bytes are shared with the rest of their batch, so only a copy of its own goes through.
  if (entry.type === "sample") self.postMessage({ ...entry.copy(), timestampNs: undefined });
}
