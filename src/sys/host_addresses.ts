/** The addresses of host names: the runtime asks the C library, in a thread of its own. The only file that looks names up. */
import { LookupError } from "../errors.ts";

/** What helps, by the code of getaddrinfo(3) as both runtimes pass it on. */
const HINTS: Readonly<Record<string, string>> = {
  EPERM: "On Deno that requires net access: run again with the --allow-net flag, or use the address",
  ENOTFOUND: "There is no such host, or its name server does not answer: use the address if the name is right",
  EAI_AGAIN: "The name server does not answer: use the address, or try again later",
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
      reject(new LookupError(name, code, HINTS[code]));
    });
  });
}
