/** Rewrites a sample of a machine of the other byte order: netlink is in the order of the host, and only the host's is understood here. */
import { GENL_HDRLEN } from "../genl/ctrl.ts";
import { NLA_TYPE_MASK } from "../wire/attr_reader.ts";
import { NLMSG_HDRLEN } from "../wire/message.ts";
import { align4, LITTLE } from "../wire/native.ts";
import {
  PSAMPLE_ATTR_DATA,
  PSAMPLE_ATTR_GROUP_REFCOUNT,
  PSAMPLE_ATTR_TUNNEL,
  PSAMPLE_ATTR_USER_COOKIE,
  PSAMPLE_TUNNEL_KEY_ATTR_VXLAN_OPTS,
} from "./constants.ts";

/**
 * Brings the message of a sample, between two offsets of `view`, from the other byte order into this machine's, in place. Values of
 * attributes that are not known stay as they are: nobody knows what they consist of.
 */
export function toNativeOrder(view: DataView, start: number, end: number): void {
  swap32(view, start);
  swap16(view, start + 4);
  swap16(view, start + 6);
  swap32(view, start + 8);
  swap32(view, start + 12);
  // struct genlmsghdr: u8 command, u8 version, u16 reserved.
  swap16(view, start + 18);
  swapAttributes(view, start + NLMSG_HDRLEN + GENL_HDRLEN, end, (type, at, size) => {
    // Either number is a tunnel's: kernels 5.8 to 5.11 had them swapped, and a sample never carries a reference count.
    if (type === PSAMPLE_ATTR_TUNNEL || type === PSAMPLE_ATTR_GROUP_REFCOUNT) {
      swapAttributes(view, at, at + size, (type, at, size) => {
        // struct vxlan_metadata (include/net/vxlan.h) is a u32; all other values are bytes, or in network byte order.
        if (type === PSAMPLE_TUNNEL_KEY_ATTR_VXLAN_OPTS && size === 4) swap32(view, at);
      });
    } else if (type < PSAMPLE_ATTR_USER_COOKIE && type !== PSAMPLE_ATTR_DATA) {
      if (size === 2) swap16(view, at);
      else if (size === 4) swap32(view, at);
      else if (size === 8) view.setBigUint64(at, view.getBigUint64(at, !LITTLE), LITTLE);
    }
  });
}

/** Swaps the headers of attributes, and leaves their values to `value`. */
function swapAttributes(view: DataView, start: number, end: number, value: (type: number, at: number, size: number) => void): void {
  for (let at = start; at + 4 <= end;) {
    swap16(view, at);
    swap16(view, at + 2);
    const size = view.getUint16(at, LITTLE);
    if (size < 4 || size > end - at) return;
    value(view.getUint16(at + 2, LITTLE) & NLA_TYPE_MASK, at + 4, size - 4);
    at += align4(size);
  }
}

function swap16(view: DataView, at: number): void {
  view.setUint16(at, view.getUint16(at, !LITTLE), LITTLE);
}

function swap32(view: DataView, at: number): void {
  view.setUint32(at, view.getUint32(at, !LITTLE), LITTLE);
}
