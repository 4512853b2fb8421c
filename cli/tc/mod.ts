/**
 * The only entry to `psample tc`: iproute2's words for sampling. Everything else in here is internal.
 *
 * @module
 */
export { runTc, type TcIo, type TcRequester } from "./run.ts";
export { controlText } from "./format/control.ts";
export { matchText, tcLines } from "./lines.ts";
export { tcOffers } from "./offers.ts";
export { TC_HELP } from "./parse/usage.ts";
