/**
 * Finds out why no samples arrive: it tries what receiving requires, and judges sampling by what happens now.
 *
 * @module
 */
import { ArgumentError, NetlinkError } from "../errors.ts";
import { encodeGroupFilter } from "../filter/group_filter.ts";
import type { Family } from "../genl/ctrl.ts";
import type { Link } from "../link/link.ts";
import type { Group } from "../psample/group.ts";
import { PSAMPLE_NL_MCGRP_SAMPLE_NAME } from "../psample/constants.ts";
import { listFamilies, withGenericNetlink } from "../socket/family.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { netnsOf, type NetnsOptions, open, openWith } from "../socket/open.ts";
import { NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import { printable, shellWord } from "../wire/text.ts";
import { type Finding, findingIn } from "./finding.ts";
import { listGroupsWith } from "./groups.ts";
import { hookFindings, placeText } from "./hook_findings.ts";
import { listListeners } from "./listeners.ts";
import { checkPrerequisites, failure } from "./prerequisites.ts";
import { findLeftoversWith } from "./sampling/cleanup.ts";
import type { FilterSampling, Sampling } from "./sampling/sampling.ts";
import { observeSamplingWith } from "./survey.ts";
import { withTrafficControl } from "./traffic_control.ts";

/**
 * For {@linkcode diagnose}.
 *
 * @category Diagnosis
 */
export interface DiagnoseOptions extends NetnsOptions {
  /** Only about sampling on this device, by name or index: then its absence is a fault. */
  device?: string | number | undefined;
  /** Only about sampling into this group: then its absence is a fault. */
  group?: number | undefined;
  /** How long to watch the counters, in milliseconds. Defaults to 500. */
  milliseconds?: number | undefined;
}

const WATCH_MS = 500;

/**
 * Finds out why no samples arrive. It changes nothing; without privileges it finds less.
 *
 * With a device or a group, the findings are only about its sampling, and about anything that prevents receiving samples. A finding with
 * the verdict `"bad"` is a fault.
 *
 * @example Look at one device
 * ```ts ignore
 * import { diagnose } from "@psample/psample";
 *
 * for (const { verdict, what, cure } of await diagnose({ device: "eth0" })) console.log(verdict, what, cure ?? "");
 * ```
 *
 * @category Diagnosis
 */
export async function diagnose(options: DiagnoseOptions = {}): Promise<Finding[]> {
  let sys: Sys;
  try {
    sys = await open();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const cure = "Deno requires the permission --allow-ffi: deno run --allow-ffi ...";
    return [{ verdict: "bad", about: "runtime", what: `the C library cannot be called: ${why}`, cure }];
  }
  return await diagnoseWith(openWith(sys, options), options);
}

/** {@linkcode diagnose} on a given seam. */
export async function diagnoseWith(sys: Sys, options: DiagnoseOptions = {}): Promise<Finding[]> {
  const { device, group } = options;
  if (group !== undefined && !(Number.isInteger(group) && group >= 0 && group <= 0xffffffff)) {
    throw new ArgumentError(`There is no group ${group}: a group is a whole number from 0 to 4294967295`);
  }
  const { findings, family } = await checkPrerequisites(sys);
  const everything = device === undefined && group === undefined;
  const found = everything ? [...findings] : findings.filter(({ verdict }) => verdict === "bad");
  try {
    if (family) {
      if (everything) found.push(groupsFinding(await listGroupsWith(sys)));
      found.push(await listenersFinding(sys, family));
    }
    found.push(...await samplingFindings(sys, family, options));
    found.push(...await leftoverFindings(sys, options));
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    found.push(failure("bad", "socket", error));
  }
  return found.map((finding) => findingIn(netnsOf(sys), finding));
}

function groupsFinding(groups: readonly Group[]): Finding {
  if (groups.length > 0) {
    const list = groups.map(({ group, refcount, sequence }) => `${group} (refcount ${refcount}, next sequence ${sequence})`).join(", ");
    return { verdict: "good", about: "groups", what: `psample groups in this namespace: ${list}` };
  }
  const what = "nothing samples into a group in this network namespace (Open vSwitch and mlx5 do so without being listed)";
  return { verdict: "note", about: "groups", what, cure: howToSample("DEV", 1) };
}

function howToSample(device: string, group: number): string {
  const word = shellWord(device);
  return `tc qdisc add dev ${word} clsact; tc filter add dev ${word} ingress matchall action sample rate 1000 group ${group} continue`;
}

async function listenersFinding(sys: Sys, family: Family): Promise<Finding> {
  const about = "listeners";
  const sockets = await listListeners(sys, family);
  if (!sockets) {
    const what = "whether anybody listens to samples is not known: the kernel has no netlink_diag";
    return { verdict: "note", about, what, cure: "modprobe netlink_diag (CONFIG_NETLINK_DIAG)" };
  }
  if (sockets.length === 0) return { verdict: "note", about, what: "nobody in this network namespace listens to samples now" };
  const listen = sockets.length === 1 ? "1 socket listens" : `${sockets.length} sockets listen`;
  return { verdict: "good", about, what: `${listen} to samples in this network namespace now` };
}

/** What was left behind, as far as it was asked about. */
async function leftoverFindings(sys: Sys, { device, group }: DiagnoseOptions): Promise<Finding[]> {
  const { removed, kept } = await findLeftoversWith(sys);
  const isAsked = (sampling: FilterSampling): boolean =>
    (device === undefined || sampling.device === device || sampling.ifindex === device) &&
    (group === undefined || sampling.group === group);
  const finding = (sampling: Sampling, what: string, cure: string): Finding => {
    const { device, direction, group } = sampling;
    return { verdict: "note", about: "leftovers", device, direction, group, what: `${placeText(sampling)} ${what}`, cure };
  };
  const netns = netnsOf(sys);
  const cleanUp = (...options: string[]): string => {
    const all = [...netns === undefined ? [] : [`netns: ${JSON.stringify(netns)}`], ...options];
    return `cleanUpSampling(${all.length > 0 ? `{ ${all.join(", ")} }` : ""}) removes it`;
  };
  const unverified = kept.flatMap(({ sampling, reason }) => sampling && reason === "unverified" && isAsked(sampling) ? [sampling] : []);
  return [
    ...removed.filter(isAsked).map((sampling) =>
      finding(
        sampling,
        `was left behind by a psample that was killed, and still samples into group ${sampling.group}`,
        cleanUp(),
      )
    ),
    ...unverified.map((sampling) => finding(sampling, "may have been left behind by a psample that was killed", cleanUp("force: true"))),
  ];
}

async function samplingFindings(sys: Sys, family: Family | undefined, options: DiagnoseOptions): Promise<Finding[]> {
  const { device, group, milliseconds = WATCH_MS } = options;
  const link = device === undefined ? undefined : await withTrafficControl(sys, (tc) => tc.findLink(device));
  if (device !== undefined && !link) {
    const what = `this network namespace has no device ${printable(String(device))}`;
    return [{ verdict: "bad", about: "device-gone", what, cure: "ip link lists the devices" }];
  }
  const asked = (await observeSamplingWith(sys, { milliseconds, countDevices: true })).filter(({ sampling, places }) =>
    (group === undefined || sampling.group === group) && (link === undefined || places.some(({ ifindex }) => ifindex === link.index))
  );
  // It is normal for a switch to have devices that are down. It is a fault if there are no others.
  const alive = asked.some(({ reach }) => reach?.state === "reached" || reach?.state === "possibly-hidden");
  const mayBeDown = link === undefined && (group === undefined || alive);
  const found = asked.flatMap((observed) => hookFindings(observed, milliseconds, link, mayBeDown));
  if (asked.some(({ reach }) => reach)) return withoutRepetition(found);
  if (link) found.push(...notSampled(link, group));
  else if (group !== undefined) found.push(await nothingListed(sys, family, group, milliseconds));
  return found;
}

/** Both directions of a device that is down yield the same finding. */
function withoutRepetition(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ what }, i) => findings.findIndex((other) => other.what === what) === i);
}

function notSampled({ name, up }: Link, group: number | undefined): Finding[] {
  const device = printable(name);
  const what = `nothing samples ${device}${group === undefined ? "" : ` into group ${group}`}`;
  const found: Finding[] = [{ verdict: "bad", about: "not-sampled", device: name, group, what, cure: howToSample(name, group ?? 1) }];
  if (!up) {
    found.push({
      verdict: "note",
      about: "device-down",
      device: name,
      what: `${device} is down`,
      cure: `ip link set dev ${shellWord(name)} up`,
    });
  }
  return found;
}

/** Findings about a group that tc does not sample into: other producers are not listed anywhere, but their samples can be received. */
async function nothingListed(sys: Sys, family: Family | undefined, group: number, milliseconds: number): Promise<Finding> {
  if (family && await hears(sys, family, group, milliseconds)) {
    const what = `samples arrive in group ${group}, from a producer that tc does not list (such as Open vSwitch, mlx5 or a program)`;
    return { verdict: "good", about: "flow", group, what };
  }
  const groups = family ? (await listGroupsWith(sys)).map(({ group }) => group).filter((other) => other !== group) : [];
  const others = groups.length > 0 ? `; sampled groups: ${groups.join(", ")}` : "";
  const what = `nothing samples into group ${group} here, and no sample arrived in ${milliseconds} ms${others}`;
  // What Open vSwitch samples is only in its flow tables.
  const verdict = family && await hasFamily(sys, "ovs_datapath") ? "note" : "bad";
  return { verdict, about: "not-sampled", group, what, cure: howToSample("DEV", group) };
}

/** Whether a sample of the group arrives; also false if this process may not listen. */
async function hears(sys: Sys, family: Family, group: number, milliseconds: number): Promise<boolean> {
  const multicast = family.groups.get(PSAMPLE_NL_MCGRP_SAMPLE_NAME);
  if (multicast === undefined) return false;
  const socket = new NetlinkSocket(sys, NETLINK_GENERIC);
  try {
    socket.attachFilter(encodeGroupFilter([group]));
    socket.join(multicast, "of psample's samples");
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return socket.receive(socket.batch(1)) > 0;
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
  } finally {
    socket.close();
  }
}

/** Whether the kernel has a generic netlink family. Asking for it by name would load its module. */
async function hasFamily(sys: Sys, name: string): Promise<boolean> {
  return (await withGenericNetlink(sys, listFamilies)).some((family) => family.name === name);
}
