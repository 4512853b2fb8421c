/**
 * The door of the wing `psample tc`: iproute2's words for sampling. Nothing else in here is for anybody outside.
 *
 * @module
 */
export { runTc, type TcIo, type TcRequester } from "./run.ts";
export { controlText } from "./format/control.ts";
export { matchText, tcLines } from "./lines.ts";
