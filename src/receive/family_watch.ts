import { type Advice, NetlinkError } from "../errors.ts";
import { CTRL_CMD_DELFAMILY, CTRL_CMD_NEWFAMILY, decodeFamily, type Family, GENL_GROUP_NOTIFY, genlCommand } from "../genl/ctrl.ts";
import { PSAMPLE_GENL_NAME, PSAMPLE_NL_MCGRP_CONFIG_NAME, PSAMPLE_NL_MCGRP_SAMPLE_NAME } from "../psample/constants.ts";
import { findFamily, NO_FAMILY_HINT } from "../socket/family.ts";
import { netnsOf } from "../socket/open.ts";
import type { Receiver } from "../socket/receiver.ts";
import { Requests } from "../socket/requests.ts";
import { ENODEV, ENOENT, EPERM, NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import type { Message } from "../wire/message.ts";

const NO_PRIVILEGE_HINT =
  "Receiving samples requires CAP_NET_ADMIN in the user namespace that owns this network namespace, since Linux 6.7 and the stable " +
  "kernels of December 2023 (4.14.333, 4.19.302, 5.4.264, 5.10.204, 5.15.143, 6.1.68, 6.6.7): run as root. Group events need no privileges";
/** In hints: how a program asks to wait for the module. Programs with words of their own put them in its place. */
export const WAIT = { cure: "wait", words: "listen({ wait: true })" } as const;
const UNLOADED_HINT: Advice = { before: "The psample module was unloaded. To resume when it returns: ", ...WAIT };
const NO_CONFIG_HINT = "This kernel's psample sends no group events: leave `events` out, or set it to false";
const NO_GROUP_HINT = "This kernel's psample has no such group";

/** How often to check while messages are being dropped, or while the controller cannot be asked. */
const CHECK_MS = 1000;

/** Errors that say nothing about the family: temporary shortages of a process or a machine. */
const SHORTAGES: ReadonlySet<string> = new Set(["EAGAIN", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ETIMEDOUT"]);

/** What a {@linkcode FamilyWatch} joins. */
export interface Memberships {
  /** The group of the samples. */
  readonly samples: boolean;
  /** The group of the group events; `undefined` to join it if this kernel's family has it. */
  readonly events: boolean | undefined;
  /** Whether to wait for the family's return if it goes. */
  readonly wait: boolean;
}

/** Receives what a {@linkcode FamilyWatch} finds. */
export interface FamilyEvents {
  /** The family has gone, even if it is back already. */
  gone(): void;
  /** The family is there, with this message type. */
  there(id: number): void;
  /** A background check has failed. */
  failed(error: unknown): void;
}

/**
 * Keeps a receiver in the multicast groups of the psample family, which comes and goes with the kernel's module.
 *
 * The controller multicasts the arrival and removal of families. But so can any process of the namespace with CAP_NET_ADMIN, and the
 * multicast can be dropped: it is only a hint to ask the controller.
 */
export class FamilyWatch {
  /** Message type of the family; -1 while the kernel has none. */
  id = -1;
  readonly #sys: Sys;
  readonly #receiver: Receiver;
  readonly #memberships: Memberships;
  readonly #events: FamilyEvents;
  /** The controller must be asked before the next read. */
  #hinted = false;
  /** Messages were dropped since the controller was last asked: a hint may have been among them. */
  #unsure = false;
  #checkedAt = -Infinity;
  #checking: Promise<void> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  /** In another network namespace, the request socket between requests. */
  #kept: Requests | undefined;

  /** Watches for `receiver`. */
  constructor(sys: Sys, receiver: Receiver, memberships: Memberships, events: FamilyEvents) {
    this.#sys = sys;
    this.#receiver = receiver;
    this.#memberships = memberships;
    this.#events = events;
  }

  /** Joins the groups of the family, if the kernel has it. */
  async start(): Promise<void> {
    // Before asking, so that nothing that happens meanwhile is missed.
    this.#receiver.join(GENL_GROUP_NOTIFY, "notify of nlctrl");
    const family = await this.#find();
    if (family) this.#join(family);
    else if (!this.#memberships.wait) {
      throw new NetlinkError("receive samples", ENOENT, { hint: { before: `${NO_FAMILY_HINT}. To wait for it: `, ...WAIT } });
    }
  }

  /** Takes a message of the controller. */
  readonly hear = (message: Message): void => {
    const command = genlCommand(message);
    if (command !== CTRL_CMD_NEWFAMILY && command !== CTRL_CMD_DELFAMILY) return;
    if (decodeFamily(message).name === PSAMPLE_GENL_NAME) this.#hinted = true;
  };

  /** Records that messages were dropped. */
  doubt(): void {
    this.#unsure = true;
  }

  /** Whether {@linkcode FamilyWatch.check} is due before the next read. */
  get due(): boolean {
    return this.#hinted || (this.#unsure && (this.#receiver.idle || performance.now() - this.#checkedAt > CHECK_MS));
  }

  /**
   * Asks the controller, and joins the groups.
   *
   * @throws {NetlinkError} If the family has gone, unless it is waited for, or if its groups cannot be joined.
   */
  check(): Promise<void> {
    return this.#checking ??= this.#check().finally(() => this.#checking = undefined);
  }

  /** Stops checking. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#kept?.close();
  }

  async #check(): Promise<void> {
    clearTimeout(this.#retry);
    this.#hinted = false;
    this.#unsure = false;
    this.#checkedAt = performance.now();
    let family: Family | undefined;
    try {
      family = await this.#find();
    } catch (error) {
      if (!(error instanceof NetlinkError) || !SHORTAGES.has(error.code)) throw error;
      // What is received is still valid. By a timer, since without the groups nothing may arrive to trigger the next check.
      if (!this.#closed) this.#retry = setTimeout(() => this.check().catch(this.#events.failed), CHECK_MS);
      return;
    }
    if (this.#closed) return;
    if (this.id >= 0 && family?.id !== this.id) {
      this.id = -1;
      this.#events.gone();
      if (!this.#memberships.wait) throw new NetlinkError("receive samples", ENODEV, { hint: UNLOADED_HINT });
    }
    // Even if the number is the same: the family may have gone and come back under it, and then its groups were left.
    if (family) this.#join(family);
  }

  async #find(): Promise<Family | undefined> {
    const requests = this.#kept ?? new Requests(this.#sys, NETLINK_GENERIC);
    this.#kept = undefined;
    try {
      return await findFamily(requests, PSAMPLE_GENL_NAME);
    } finally {
      // Opening one there again may be impossible: the name of the namespace may be gone, or the right to enter it given up.
      if (netnsOf(this.#sys) !== undefined && !this.#closed) this.#kept = requests;
      else requests.close();
    }
  }

  #join(family: Family): void {
    const { samples, events } = this.#memberships;
    // Samples that arrive between joining and the end of this are read later: they find the number set.
    this.id = family.id;
    this.#events.there(family.id);
    // Samples first: so if a group's creation is received, all its samples are.
    if (samples) this.#joinGroup(family, PSAMPLE_NL_MCGRP_SAMPLE_NAME, NO_GROUP_HINT);
    const hasEvents = family.groups.has(PSAMPLE_NL_MCGRP_CONFIG_NAME);
    if (events ?? (hasEvents || !samples)) this.#joinGroup(family, PSAMPLE_NL_MCGRP_CONFIG_NAME, NO_CONFIG_HINT);
  }

  #joinGroup(family: Family, name: string, hint: string): void {
    const group = family.groups.get(name);
    if (group === undefined) throw new NetlinkError(`join the multicast group ${name} of psample`, ENOENT, { hint });
    this.#receiver.join(group, `${name} of psample`, (errno) => errno === EPERM ? NO_PRIVILEGE_HINT : undefined);
  }
}
