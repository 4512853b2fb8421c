/** All commands of `psample`. */
import type { Command } from "./command.ts";
import { capture } from "./commands/capture.ts";
import { cleanup } from "./commands/cleanup.ts";
import { completions } from "./commands/completions.ts";
import { demo } from "./commands/demo.ts";
import { doctor } from "./commands/doctor.ts";
import { exportCommand } from "./commands/export.ts";
import { extcap } from "./commands/extcap.ts";
import { inject } from "./commands/inject.ts";
import { list } from "./commands/list.ts";
import { read } from "./commands/read.ts";
import { tc } from "./commands/tc.ts";
import { top } from "./commands/top.ts";

/** Those with a name, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  capture,
  top,
  exportCommand,
  read,
  inject,
  list,
  doctor,
  demo,
  cleanup,
  extcap,
  tc,
  completions,
];
