/** The BPF programs that see a device's packets before tc's filters (tcx, Linux 6.6). */
import { EINVAL, ENODEV, type Sys } from "../sys/sys.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";
import type { Direction } from "./traffic_control.ts";

// include/uapi/linux/bpf.h
const BPF_PROG_QUERY = 16;
const ATTACH_TYPE: Readonly<Record<Direction, number>> = { ingress: 46, egress: 47 };
/** `union bpf_attr` as BPF_PROG_QUERY takes it: u32 ifindex, u32 attach type, u32 query flags, u32 attach flags, u64 ids, u32 count. */
const QUERY_SIZE = 64;
/** BPF_MPROG_MAX, kernel/bpf/mprog.c: the maximum number of programs of a device. */
const MOST_PROGRAMS = 64;

/**
 * The numbers of the tcx programs of a device, in their order; `undefined` if the kernel does not report them: that requires CAP_NET_ADMIN.
 */
export function tcxPrograms(sys: Sys, ifindex: number, direction: Direction): readonly number[] | undefined {
  const ids = memory(4 * MOST_PROGRAMS);
  const query = memory(QUERY_SIZE);
  const view = viewOf(query);
  view.setUint32(0, ifindex, LITTLE);
  view.setUint32(4, ATTACH_TYPE[direction], LITTLE);
  view.setBigUint64(16, sys.addressOf(ids), LITTLE);
  view.setUint32(24, MOST_PROGRAMS, LITTLE);
  const result = sys.bpf(BPF_PROG_QUERY, query);
  // EINVAL: a kernel without tcx.
  if (result < 0) return result === -EINVAL || result === -ENODEV ? [] : undefined;
  return [...new Uint32Array(ids.buffer, 0, view.getUint32(24, LITTLE))];
}
