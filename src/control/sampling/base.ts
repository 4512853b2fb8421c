/** What several installations of a process may share: its sockets, and its part in the instance protocol. */
import type { Sys } from "../../sys/sys.ts";
import { TrafficControl } from "../traffic_control.ts";
import { Instance } from "./instance.ts";

/**
 * The sockets that sampling is added with, in one network namespace. They stay open for as long as anybody holds them: so sampling can be
 * added, and removed, when there is no descriptor left, or no right to enter the namespace again.
 */
export class SamplingBase {
  readonly sys: Sys;
  readonly tc: TrafficControl;
  readonly instance: Instance;
  #holders = 0;

  private constructor(sys: Sys, tc: TrafficControl, instance: Instance) {
    this.sys = sys;
    this.tc = tc;
    this.instance = instance;
  }

  /** Opens them. Nobody holds them yet. */
  static open(sys: Sys): SamplingBase {
    const tc = new TrafficControl(sys);
    try {
      return new SamplingBase(sys, tc, Instance.open(sys));
    } catch (error) {
      tc.close();
      throw error;
    }
  }

  /** Holds them open. Returns what lets go of them, once. */
  hold(): () => void {
    this.#holders++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holders -= 1;
      if (this.#holders > 0) return;
      this.instance.close();
      this.tc.close();
    };
  }
}
