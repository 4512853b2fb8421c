/**
 * Notices that another program relies on a clsact qdisc of ours. `tc qdisc replace` finds it, changes nothing and succeeds, so that its
 * caller has a qdisc with nothing on it that would show whose it is. But the kernel notifies everybody of that, and of who asked. Source:
 * tc_modify_qdisc() in net/sched/sch_api.c.
 */
import { NetlinkError } from "../../errors.ts";
import { RTM_DELQDISC, RTM_NEWQDISC, TC_H_CLSACT } from "../../tc/tcmsg.ts";
import type { TcEvent, TcWatch } from "../tc_watch.ts";

/**
 * The fate of a clsact qdisc: `"claimed"` if somebody other than the socket `own` asked for it; `"gone"` if it was deleted, so that one
 * that exists now is a different one, and shows itself what is on it; `undefined` if neither.
 */
export function fateOfClsact(events: readonly TcEvent[], own: number): "claimed" | "gone" | undefined {
  const changes = events.filter(({ parent, by }) => parent === TC_H_CLSACT && by !== own);
  if (changes.some(({ type }) => type === RTM_DELQDISC)) return "gone";
  return changes.some(({ type }) => type === RTM_NEWQDISC) ? "claimed" : undefined;
}

/** Remembers claims from now on. Claims lost in a burst of changes go unnoticed. */
export class Claims {
  readonly #watch: TcWatch;
  readonly #own: number;
  #fate: "claimed" | "gone" | undefined;

  /** Reads the rest of `watch`, and closes it; `own` is the port id of the socket that makes our changes. */
  constructor(watch: TcWatch, own: number) {
    this.#watch = watch;
    this.#own = own;
  }

  /** Whether somebody claims the qdisc that existed when this was made. */
  any(): boolean {
    if (this.#fate !== "gone") this.#fate = fateOfClsact(this.#events(), this.#own) ?? this.#fate;
    return this.#fate === "claimed";
  }

  #events(): readonly TcEvent[] {
    try {
      return this.#watch.events() ?? [];
    } catch (error) {
      // A problem with the watch must not keep filters from being removed.
      if (error instanceof NetlinkError) return [];
      throw error;
    }
  }

  /** Stops watching. */
  close(): void {
    this.#watch.close();
  }
}
