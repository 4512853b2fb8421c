/** What privilege_test.ts runs as a user without privilege: it tries everything, and prints the results. */
import { type GroupEvent, listen, type ListenOptions, listGroups } from "../../mod.ts";

async function refused(options: ListenOptions): Promise<unknown> {
  try {
    await (await listen(options)).close();
    return "not refused";
  } catch (error) {
    const { name, message, op, code, errno } = error as Error & { op: string; code: string; errno: number };
    return { name, message, op, code, errno };
  }
}

const groups = await listGroups();
const refusal = await refused({});
const all = await refused({ samples: false, allNamespaces: true });
const events: GroupEvent[] = [];
const listener = await listen({ samples: false });
const granted = listener.receiveBufferBytes;
// deno-lint-ignore no-console
console.log("listening");
for await (const event of listener) {
  if (events.push(event) === 2) break;
}
// deno-lint-ignore no-console
console.log(JSON.stringify({ groups, refusal, all, granted, events }));
