/**
 * Drops root privileges once everything that needs them is open, like tcpdump's -Z.
 *
 * @module
 */
import { SystemError } from "../errors.ts";
import { loadSys } from "../sys/load.ts";
import { ENOENT, EPERM, type Sys } from "../sys/sys.ts";
import { LITTLE, memory, viewOf } from "../wire/native.ts";

// include/uapi/linux/prctl.h
const PR_SET_KEEPCAPS = 8;
const PR_SET_NO_NEW_PRIVS = 38;
// include/uapi/linux/capability.h
const CAP_NET_ADMIN = 12;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

/**
 * What to keep when dropping privileges.
 *
 * @category Privileges
 */
export interface DropOptions {
  /** Keep CAP_NET_ADMIN, and nothing else, on this thread, to undo later what needed it. */
  keepNetAdmin?: boolean | undefined;
}

/**
 * Becomes the user `name`: its groups, group and user id, no capabilities (except CAP_NET_ADMIN if asked for), and no way to gain any by
 * executing a file. Open descriptors stay open. Requires root; irreversible.
 *
 * The ids change on all threads of the process; capabilities and no_new_privs are per thread, and change on this one.
 *
 * @throws {SystemError} `ENOENT` for an unknown user, `EPERM` without the right.
 * @category Privileges
 */
export async function dropPrivileges(name: string, options: DropOptions = {}): Promise<void> {
  dropPrivilegesWith(await loadSys(), name, options);
}

/** {@linkcode dropPrivileges} on a given seam. */
export function dropPrivilegesWith(sys: Sys, name: string, { keepNetAdmin = false }: DropOptions = {}): void {
  const text = memory(new TextEncoder().encode(name).length + 1);
  new TextEncoder().encodeInto(name, text);
  const user = sys.getpwnam(text);
  const op = `become the user ${name}`;
  if (!user) throw new SystemError(op, ENOENT, { hint: "There is no such user" });
  const hint = "Only root can become another user";
  // Capabilities are per thread. Those of root go with the user ID on all threads; ambient ones would stay on all threads but this.
  if (sys.geteuid() !== 0) throw new SystemError(op, EPERM, { hint });
  const check = (result: number): void => {
    if (result < 0) throw new SystemError(op, -result, { hint });
  };
  const { uid, gid } = user;
  // In this order: each step takes the right that the next one gives up.
  check(sys.initgroups(text, gid));
  check(sys.setresgid(gid, gid, gid));
  if (keepNetAdmin) check(sys.prctl(PR_SET_KEEPCAPS, 1));
  check(sys.setresuid(uid, uid, uid));
  check(capset(sys, keepNetAdmin ? 2 ** CAP_NET_ADMIN : 0));
  check(sys.prctl(PR_SET_NO_NEW_PRIVS, 1));
}

/** Sets the effective and permitted capabilities, and no inheritable ones. */
function capset(sys: Sys, capabilities: number): number {
  // struct __user_cap_header_struct: u32 version, int pid; __user_cap_data_struct twice: u32 effective, permitted, inheritable.
  const header = memory(8);
  viewOf(header).setUint32(0, LINUX_CAPABILITY_VERSION_3, LITTLE);
  const data = memory(24);
  viewOf(data).setUint32(0, capabilities, LITTLE);
  viewOf(data).setUint32(4, capabilities, LITTLE);
  return sys.capset(header, data);
}
