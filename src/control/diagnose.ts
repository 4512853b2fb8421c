/**
 * Finding out why no samples come: each thing that receiving takes is tried by itself.
 *
 * @module
 */
import { NetlinkError } from "../errors.ts";
import { findFamily } from "../socket/family.ts";
import type { Family } from "../genl/ctrl.ts";
import { listGroupsWith } from "./groups.ts";
import { RECEIVE_BUFFER_BYTES } from "../socket/receiver.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { Requests } from "../socket/requests.ts";
import {
  PSAMPLE_ATTR_PROTO,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_GENL_NAME,
  PSAMPLE_NL_MCGRP_CONFIG_NAME,
  PSAMPLE_NL_MCGRP_SAMPLE_NAME,
} from "../psample/constants.ts";
import { loadSys } from "../sys/load.ts";
import { NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import type { Link } from "../link/link.ts";
import type { Action } from "../tc/action.ts";
import { actionsOf, type Filter } from "../tc/filter.ts";
import { TCA_CLS_FLAGS_IN_HW } from "../tc/tcmsg.ts";
import { PARENTS, TrafficControl } from "./traffic_control.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";

/** One thing that was tried. */
export interface Finding {
  /** Good; worth knowing; or in the way of receiving samples. */
  readonly verdict: "good" | "note" | "bad";
  /** What was tried, and what came of it. */
  readonly what: string;
  /** What helps. */
  readonly cure?: string;
}

/** Tries what receiving samples takes, one thing after the other. It changes nothing. */
export async function diagnose(): Promise<Finding[]> {
  let sys: Sys;
  try {
    sys = await loadSys();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const cure = "under Deno the command needs --allow-ffi: deno run --allow-ffi ...";
    return [{ verdict: "bad", what: `the C library cannot be called: ${why}`, cure }];
  }
  return await diagnoseWith(sys);
}

/** {@linkcode diagnose} on a given seam. */
export async function diagnoseWith(sys: Sys): Promise<Finding[]> {
  const findings: Finding[] = [{ verdict: "good", what: `the C library can be called from ${sys.runtime === "bun" ? "Bun" : "Deno"}` }];
  findings.push({ verdict: "note", what: `effective user id ${sys.geteuid()}; ${namespaceText(sys)}` });
  let requests: Requests;
  try {
    requests = new Requests(sys, NETLINK_GENERIC);
  } catch (error) {
    const cure = "this kernel or sandbox (seccomp, gVisor) has no generic netlink: run on the host, or allow AF_NETLINK sockets";
    return [...findings, { verdict: "bad", what: message(error), cure }];
  }
  let family: Family | undefined;
  try {
    family = await findFamily(requests, PSAMPLE_GENL_NAME);
  } finally {
    requests.close();
  }
  if (!family) {
    const cure = "modprobe psample (as root, on the host), or add a tc sample action, which loads it; the kernel needs CONFIG_PSAMPLE";
    return [...findings, { verdict: "bad", what: "the kernel has no psample family: its module is not loaded", cure }];
  }
  findings.push({ verdict: "good", what: `the kernel has the psample family (number ${family.id}; ${featureText(family)})` });
  findings.push(joining(sys, family, PSAMPLE_NL_MCGRP_CONFIG_NAME, "group events", "this kernel is older than psample's events"));
  findings.push(
    joining(
      sys,
      family,
      PSAMPLE_NL_MCGRP_SAMPLE_NAME,
      "samples",
      "run as root, or with CAP_NET_ADMIN in the user namespace that owns this network namespace (unshare -Urn gives both without root)",
    ),
  );
  findings.push(buffer(sys));
  findings.push(namespaces(sys));
  findings.push(await groups(sys));
  findings.push(...await filters(sys));
  return findings;
}

function joining(sys: Sys, family: Family, name: string, what: string, cure: string): Finding {
  const group = family.groups.get(name);
  if (group === undefined) return { verdict: "bad", what: `psample of this kernel has no multicast group ${name}`, cure };
  return onSocket(sys, (socket) => {
    socket.join(group, `${name} of psample`);
    return { verdict: "good", what: `${what} can be received` };
  }, (error) => ({ verdict: "bad", what: message(error), cure }));
}

function buffer(sys: Sys): Finding {
  return onSocket(sys, (socket) => {
    const granted = socket.setReceiveBuffer(RECEIVE_BUFFER_BYTES);
    if (granted >= RECEIVE_BUFFER_BYTES) return { verdict: "good", what: `the kernel grants a receive buffer of ${granted} bytes` };
    const what = `the kernel grants a receive buffer of ${granted} bytes, ${RECEIVE_BUFFER_BYTES} are wanted: bursts may be lost`;
    return { verdict: "note", what, cure: `sysctl net.core.rmem_max=${RECEIVE_BUFFER_BYTES}, or run as root` };
  }, (error) => ({ verdict: "note", what: message(error) }));
}

function namespaces(sys: Sys): Finding {
  return onSocket(sys, (socket) => {
    socket.listenAllNamespaces();
    return { verdict: "good", what: "other network namespaces can be listened to (--all-namespaces)" };
  }, () => {
    const cure = "--all-namespaces takes CAP_NET_BROADCAST; or run in that namespace: ip netns exec NAME psample";
    return { verdict: "note", what: "only this network namespace can be listened to", cure };
  });
}

async function groups(sys: Sys): Promise<Finding> {
  const list = await listGroupsWith(sys);
  if (list.length > 0) {
    const text = list.map((group) => `${group.group} (refcount ${group.refcount}, next sequence ${group.sequence})`).join(", ");
    return { verdict: "good", what: `psample groups in this namespace: ${text}` };
  }
  const what = "nothing samples into a group in this network namespace (Open vSwitch and mlx5 do so without being listed)";
  const cure = "tc qdisc add dev DEV clsact; tc filter add dev DEV ingress matchall action sample rate 1000 group 1";
  return { verdict: "note", what, cure };
}

/** What stands between the packets of a device and its sample action. */
async function filters(sys: Sys): Promise<Finding[]> {
  const tc = new TrafficControl(sys);
  try {
    const links = await tc.links();
    const all = await tc.allFilters();
    const findings: Finding[] = [];
    for (const filter of all) {
      const action = actionsOf(filter).find((action) => action.sample);
      if (action) findings.push(...hook(sys, filter, action, links.get(filter.ifindex), all));
    }
    return findings;
  } finally {
    tc.close();
  }
}

function hook(sys: Sys, filter: Filter, action: Action, link: Link | undefined, all: readonly Filter[]): Finding[] {
  const egress = filter.parent === PARENTS.egress;
  const where = `${link?.name ?? `if${filter.ifindex}`} ${egress ? "egress" : "ingress"} pref ${filter.preference}`;
  const packets = action.stats?.packets ?? 0n;
  const hardware = filter.classifier && "flags" in filter.classifier && ((filter.classifier.flags ?? 0) & TCA_CLS_FLAGS_IN_HW) !== 0;
  const what = `${where} samples 1 in ${action.sample?.rate} into group ${action.sample?.group}, ${
    hardware ? "in hardware" : "in software"
  }`;
  if (packets > 0n) return [{ verdict: "good", what: `${what}: ${packets} packets came to it` }];
  const findings: Finding[] = [{ verdict: "note", what: `${what}: no packet has come to it` }];
  if (link && !link.up) {
    findings.push({ verdict: "note", what: `${link.name} is down`, cure: `ip link set ${link.name} up` });
  }
  const before = all.filter((other) =>
    other.ifindex === filter.ifindex && other.parent === filter.parent && (other.chain ?? 0) === (filter.chain ?? 0) &&
    other.preference < filter.preference
  );
  if (before.length > 0) {
    const list = before.map((other) => `pref ${other.preference} ${other.kind}`).join(", ");
    const cure = "one that ends the chain hides the packets: let its last action continue, or sample with a lower preference";
    findings.push({ verdict: "note", what: `filters stand before it: ${list}`, cure });
  }
  const programs = tcxPrograms(sys, filter.ifindex, egress);
  if (programs > 0) {
    const cure = "a program that does not return TCX_NEXT hides the packets from tc: see bpftool net";
    findings.push({ verdict: "note", what: `${programs} tcx BPF program${programs === 1 ? "" : "s"} run before it`, cure });
  }
  return findings;
}

// include/uapi/linux/bpf.h
const BPF_PROG_QUERY = 16;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;

/** How many BPF programs see a device's packets before tc does (Linux 6.6); 0 where the kernel does not say. */
function tcxPrograms(sys: Sys, ifindex: number, egress: boolean): number {
  // union bpf_attr, query: u32 ifindex, attach type, query flags, attach flags, u64 ids, u32 count.
  const attributes = memory(64);
  const view = viewOf(attributes);
  view.setUint32(0, ifindex, LITTLE);
  view.setUint32(4, egress ? BPF_TCX_EGRESS : BPF_TCX_INGRESS, LITTLE);
  return sys.bpf(BPF_PROG_QUERY, attributes) < 0 ? 0 : view.getUint32(24, LITTLE);
}

function onSocket(sys: Sys, good: (socket: NetlinkSocket) => Finding, bad: (error: NetlinkError) => Finding): Finding {
  let socket: NetlinkSocket | undefined;
  try {
    socket = new NetlinkSocket(sys, NETLINK_GENERIC);
    return good(socket);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return bad(error);
  } finally {
    socket?.close();
  }
}

function featureText({ maxAttribute }: Family): string {
  if (maxAttribute === undefined) return "this kernel does not say which attributes it knows";
  if (maxAttribute >= PSAMPLE_ATTR_SAMPLE_PROBABILITY) return "with cookie and probability, as since Linux 6.11";
  return maxAttribute >= PSAMPLE_ATTR_PROTO ? "with time stamps, as since Linux 5.13" : "without time stamps, as before Linux 5.13";
}

function namespaceText(sys: Sys): string {
  const mine = link(sys, "/proc/self/ns/net");
  if (mine === undefined) return "network namespace unknown: /proc is not mounted";
  const first = link(sys, "/proc/1/ns/net");
  if (first === undefined) return `network namespace ${mine}`;
  return first === mine
    ? `network namespace ${mine}, that of process 1`
    : `network namespace ${mine}, not that of process 1 (${first}): what is sampled there does not come here`;
}

function link(sys: Sys, path: string): string | undefined {
  const into = memory(128);
  const name = memory(path.length + 1);
  new TextEncoder().encodeInto(path, name);
  const size = sys.readlink(name, into);
  return size < 0 ? undefined : new TextDecoder().decode(into.slice(0, size));
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
