/** A program that takes one sample and does not close the listener: it must still end. Started by replay_test.ts. */
import { replay } from "../../mod.ts";
import { FAMILY, sampleMessages } from "./messages.ts";

const listener = await replay(sampleMessages(3), { family: FAMILY, intervalMs: 20 });
await listener[Symbol.asyncIterator]().next();
