/** What receiving samples requires of this process and this kernel, each checked separately. */
import { NetlinkError } from "../errors.ts";
import type { Family } from "../genl/ctrl.ts";
import {
  PSAMPLE_ATTR_PROTO,
  PSAMPLE_ATTR_SAMPLE_PROBABILITY,
  PSAMPLE_GENL_NAME,
  PSAMPLE_NL_MCGRP_CONFIG_NAME,
  PSAMPLE_NL_MCGRP_SAMPLE_NAME,
} from "../psample/constants.ts";
import { findFamily, withGenericNetlink } from "../socket/family.ts";
import { NetlinkSocket } from "../socket/netlink_socket.ts";
import { netnsOf } from "../socket/open.ts";
import { RECEIVE_BUFFER_BYTES } from "../socket/receiver.ts";
import { NETLINK_GENERIC, type Sys } from "../sys/sys.ts";
import { memory } from "../wire/native.ts";
import { printable } from "../wire/text.ts";
import type { Finding } from "./finding.ts";

/** The findings, and the psample family if the kernel has it. */
export interface Prerequisites {
  readonly findings: readonly Finding[];
  readonly family: Family | undefined;
}

/** Checks each prerequisite for receiving samples in turn. It changes nothing. */
export async function checkPrerequisites(sys: Sys): Promise<Prerequisites> {
  const findings: Finding[] = [
    { verdict: "good", about: "runtime", what: `the C library can be called from ${sys.runtime === "bun" ? "Bun" : "Deno"}` },
    { verdict: "note", about: "identity", what: `effective user id ${sys.geteuid()}; ${namespaceText(sys)}` },
  ];
  let family: Family | undefined;
  try {
    family = await withGenericNetlink(sys, (requests) => findFamily(requests, PSAMPLE_GENL_NAME));
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return { findings: [...findings, failure("bad", "socket", error)], family };
  }
  if (!family) {
    const cure = "modprobe psample (as root, on the host), or add a tc sample action, which loads it; the kernel needs CONFIG_PSAMPLE";
    findings.push({ verdict: "bad", about: "family", what: "the kernel has no psample family: its module is not loaded", cure });
    return { findings, family };
  }
  findings.push(
    { verdict: "good", about: "family", what: `the kernel has the psample family (number ${family.id}; ${featureText(family)})` },
    events(sys, family),
    samples(sys, family),
    buffer(sys),
    otherNamespaces(sys),
  );
  return { findings, family };
}

/** Turns an error into a finding, with its cure separate. */
export function failure(verdict: "note" | "bad", about: Finding["about"], error: NetlinkError, cure = error.hint): Finding {
  return { verdict, about, what: `Cannot ${error.op}: ${error.why}`, cure };
}

function events(sys: Sys, family: Family): Finding {
  const group = family.groups.get(PSAMPLE_NL_MCGRP_CONFIG_NAME);
  if (group === undefined) {
    const what =
      `this kernel's psample announces no group events (a vendor's, without the multicast group ${PSAMPLE_NL_MCGRP_CONFIG_NAME})`;
    return { verdict: "note", about: "events", what };
  }
  return joining(sys, group, "events", "group events can be received");
}

function samples(sys: Sys, family: Family): Finding {
  const group = family.groups.get(PSAMPLE_NL_MCGRP_SAMPLE_NAME);
  if (group === undefined) {
    const what = `this kernel's psample has no multicast group ${PSAMPLE_NL_MCGRP_SAMPLE_NAME}: it sends no samples`;
    return { verdict: "bad", about: "samples", what };
  }
  const cure = "run as root, or with CAP_NET_ADMIN in the user namespace that owns this network namespace " +
    "(unshare -Urn gives both without root)";
  return joining(sys, group, "samples", "samples can be received", cure);
}

function joining(sys: Sys, group: number, what: "events" | "samples", good: string, cure?: string): Finding {
  return onSocket(sys, (socket) => {
    socket.join(group, what === "events" ? "of psample's group events" : "of psample's samples");
    return { verdict: "good", about: what, what: good };
  }, (error) => failure(what === "samples" ? "bad" : "note", what, error, cure));
}

function buffer(sys: Sys): Finding {
  const about = "buffer";
  return onSocket(sys, (socket) => {
    const granted = socket.setReceiveBuffer(RECEIVE_BUFFER_BYTES);
    if (granted >= RECEIVE_BUFFER_BYTES) return { verdict: "good", about, what: `the kernel grants a receive buffer of ${granted} bytes` };
    const what = `the kernel grants a receive buffer of ${granted} bytes instead of ${RECEIVE_BUFFER_BYTES}: bursts may be lost`;
    return { verdict: "note", about, what, cure: `sysctl net.core.rmem_max=${RECEIVE_BUFFER_BYTES}, or run as root` };
  }, (error) => failure("note", about, error));
}

function otherNamespaces(sys: Sys): Finding {
  const about = "other-namespaces";
  return onSocket(sys, (socket) => {
    socket.listenAllNamespaces();
    return { verdict: "good", about, what: "samples of other network namespaces can be received" };
  }, () => {
    const cure = "listening to all namespaces requires CAP_NET_BROADCAST; or listen in that namespace: listen({ netns })";
    return { verdict: "note", about, what: "only samples of this network namespace can be received", cure };
  });
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

// include/linux/proc_ns.h, include/uapi/linux/nsfs.h: the numbers of the initial namespaces. That of the network namespace is fixed since
// Linux 6.18; before, no namespace has it.
const INITIAL_PID = "pid:[4026531836]";
const INITIAL_USER = "user:[4026531837]";
const INITIAL_NET = "net:[4026531833]";

/** The namespaces of this process, as far as they can be determined from inside. */
function namespaceText(sys: Sys): string {
  // /proc/self is the first thread, whose namespaces may differ from this thread's.
  const net = linkText(sys, "/proc/thread-self/ns/net");
  if (net === undefined) return "network namespace unknown: /proc is not mounted";
  const user = linkText(sys, "/proc/self/ns/user");
  const name = netnsOf(sys);
  return `network namespace ${name === undefined ? "" : `${printable(name)}, `}${net}${whose(sys, net)}${
    user === undefined || user === INITIAL_USER ? "" : ", in a user namespace of its own"
  }`;
}

function whose(sys: Sys, net: string): string {
  if (net === INITIAL_NET) return ", the host's";
  // In a container process 1 is the container's, and shows nothing about the host.
  if (linkText(sys, "/proc/self/ns/pid") !== INITIAL_PID) return ", in a container: whether it is the host's cannot be told from here";
  const host = linkText(sys, "/proc/1/ns/net");
  if (host === undefined) return "";
  return host === net ? ", the host's" : `, not the host's (${host}): what is sampled there does not arrive here`;
}

function linkText(sys: Sys, path: string): string | undefined {
  const into = memory(128);
  const name = memory(path.length + 1);
  new TextEncoder().encodeInto(path, name);
  const size = sys.readlink(name, into);
  return size < 0 ? undefined : new TextDecoder().decode(into.slice(0, size));
}
