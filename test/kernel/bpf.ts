/** BPF programs that return the same number for every packet, and attaching them to a device. */
import { Requests } from "../../src/socket/requests.ts";
import { loadSys } from "../../src/sys/load.ts";
import { EINVAL, NETLINK_ROUTE } from "../../src/sys/sys.ts";
import { encodeMessage, NLM_F_ACK, NLM_F_REQUEST } from "../../src/wire/message.ts";
import { LITTLE, memory, viewOf } from "../../src/wire/native.ts";
import { type Device, IFINDEX } from "./scene.ts";

// include/uapi/linux/bpf.h
const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const PROGRAM_TYPE = { tc: 3, xdp: 6 } as const;
const ATTACH_TYPE = { ingress: 46, egress: 47 } as const;
export const XDP_DROP = 1;
export const XDP_PASS = 2;
export const TCX_NEXT = -1;
export const TCX_DROP = 2;

const sys = await loadSys();

function checked(what: string, result: number): number {
  if (result < 0) throw new Error(`${what} failed: errno ${-result}`);
  return result;
}

/** Loads `r0 = result; exit`. The caller closes the descriptor. */
function load(type: keyof typeof PROGRAM_TYPE, result: number): number {
  // struct bpf_insn: u8 code, u8 registers, i16 offset, i32 immediate.
  const program = memory(16);
  program[0] = 0xb7;
  viewOf(program).setInt32(4, result, LITTLE);
  program[8] = 0x95;
  const license = new TextEncoder().encode("GPL\0");
  const attributes = memory(64);
  const view = viewOf(attributes);
  view.setUint32(0, PROGRAM_TYPE[type], LITTLE);
  view.setUint32(4, 2, LITTLE);
  view.setBigUint64(8, sys.addressOf(program), LITTLE);
  view.setBigUint64(16, sys.addressOf(license), LITTLE);
  return checked("loading a BPF program", sys.bpf(BPF_PROG_LOAD, attributes));
}

/** Puts a program before tc's filters; false on a kernel that has no tcx (before 6.6). */
export function attachTcx(device: Device, direction: "ingress" | "egress", result: number): boolean {
  const fd = load("tc", result);
  try {
    const attributes = memory(64);
    const view = viewOf(attributes);
    [IFINDEX[device], fd, ATTACH_TYPE[direction]].forEach((value, i) => view.setUint32(4 * i, value, LITTLE));
    const attached = sys.bpf(BPF_PROG_ATTACH, attributes);
    if (attached === -EINVAL) return false;
    checked("attaching a tcx program", attached);
    return true;
  } finally {
    sys.close(fd);
  }
}

/** Attaches a generic XDP program to a device, or detaches it. */
export async function setXdp(device: Device, result: number | undefined): Promise<void> {
  const [RTM_SETLINK, IFLA_XDP, IFLA_XDP_FD, IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE] = [19, 43, 1, 3, 2];
  const fd = result === undefined ? -1 : load("xdp", result);
  const requests = new Requests(sys, NETLINK_ROUTE);
  try {
    // struct ifinfomsg
    const header = memory(16);
    viewOf(header).setInt32(4, IFINDEX[device], LITTLE);
    const message = encodeMessage({ type: RTM_SETLINK, flags: NLM_F_REQUEST | NLM_F_ACK }, header, (attr) => {
      attr.nest(IFLA_XDP | 0x8000, (xdp) => xdp.u32(IFLA_XDP_FD, fd >>> 0).u32(IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE));
    });
    await requests.request(message, "set the XDP program of a device");
  } finally {
    requests.close();
    if (fd >= 0) sys.close(fd);
  }
}
