/**
 * What the file starts that `psample extcap --install` writes: answers Wireshark's questions, and loads the whole command only for anything
 * else.
 */
import process from "node:process";
import { answerTo } from "./questions.ts";

const args = process.argv.slice(2);
const answer = await answerTo(args).catch(() => undefined);
if (answer !== undefined) {
  process.stdout.write(answer);
} else {
  const { main } = await import("../main.ts");
  process.exit(await main(["extcap", ...args]));
}
