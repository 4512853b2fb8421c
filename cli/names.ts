import type { DetailSources } from "../src/format/text.ts";

/** What `--details` knows of a recording: the machine it was made on is not this one. */
export function recordedDetails(): DetailSources {
  return {};
}

/** What `--details` knows of this machine. */
export function liveDetails(): DetailSources {
  return {};
}
