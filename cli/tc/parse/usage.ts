/** What `psample tc` says about itself. */
import { TcRefusal } from "./refusal.ts";

/** What `psample tc help` says. */
export const TC_HELP = `Usage: psample tc [ -s | -d | -r | -j | -p | -o | -n NETNS ] OBJECT COMMAND
  qdisc   { add | del | replace | show } dev DEV
          [ handle ffff: ] { clsact | ingress }
  filter  { add | del | replace | change | get | show } dev DEV
          [ ingress | egress | root | parent ffff: ]
          [ protocol PROTO ] [ pref N ] [ handle H ] [ chain N ]
          { matchall | flower KEYS | u32 match SELECTOR |
            bpf bytecode CODE }
          [ skip_hw | skip_sw ] action sample ...
  actions { add | replace | change } action sample rate N group N
          [ trunc N ] [ CONTROL ] [ index N ] [ cookie HEX ]
  actions { get | del } action sample index N
  actions { list | flush } action sample
CONTROL is pipe, ok, pass, drop, shot, continue, reclassify, stolen, trap,
jump N or goto chain N.
The words are those of tc(8). What is not about sampling is left to tc.`;

/** The refusal that is the help; `status` is 0 if help was asked for in the right place. */
export function help(status: number): TcRefusal {
  return new TcRefusal(TC_HELP, status);
}
