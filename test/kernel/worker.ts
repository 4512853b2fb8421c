/** What the Worker of listener_test.ts does: it listens, and posts what it receives. */
import { listen } from "../../mod.ts";

declare const self: { postMessage(message: unknown): void };

const listener = await listen({ events: false });
self.postMessage("listening");
for await (const entry of listener) {
  // Bytes are shared with the rest of their batch, so only a copy can be posted.
  if (entry.type === "sample") self.postMessage({ ...entry.copy(), timestampNs: undefined });
}
