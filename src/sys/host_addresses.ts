/** The addresses of host names: the runtime asks the C library, in a thread of its own. The only file that looks names up. */
import { LookupError } from "../errors.ts";

/** What helps, by the code of getaddrinfo(3) as both runtimes pass it on. */
const HINTS: Readonly<Record<string, string>> = {
  EPERM: "On Deno that requires net access: run again with the --allow-net flag, or use the address",
  ENOTFOUND: "There is no such host: check the name, or use the address",
  EAI_AGAIN: "No name server answers; an address needs none",
  ETIMEDOUT: "The name server takes long to answer; an address needs none",
};

/**
 * The addresses of a host, as every program on this machine gets them: from /etc/hosts, DNS and so on, by nsswitch.conf(5), in the order of
 * preference. The names are those of the process's own network namespace and mount namespace. It never blocks the thread.
 *
 * @returns IPv4 and IPv6 addresses as text, at least one.
 * @throws {LookupError} if the name cannot be looked up.
 */
export async function hostAddresses(name: string): Promise<readonly string[]> {
  const { lookup } = await import("node:dns");
  return await new Promise((resolve, reject) => {
    lookup(name, { all: true, order: "verbatim" }, (error, found) => {
      const addresses = error ? [] : found.map(({ address }) => address);
      if (addresses.length > 0) return resolve(addresses);
      const code = error?.code ?? "ENOTFOUND";
      reject(failed(name, code));
    });
  });
}

/** The error of a name that is not found out in time. */
export function late(name: string): LookupError {
  return failed(name, "ETIMEDOUT");
}

function failed(name: string, code: string): LookupError {
  return new LookupError(name, code, HINTS[code]);
}
