import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { LookupError } from "../../mod.ts";
import { failureText } from "../../cli/failure.ts";

function refused(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

test("a refused permission says where the flag goes", () => {
  const said = (flag: string): string => `Requires some access, run again with the ${flag} flag`;
  const where = "Flags of Deno go before the program: deno run";
  assertEquals(
    failureText(refused("NotCapable", said("--allow-write"))),
    `${said("--allow-write")}. ${where} --allow-ffi --allow-write cli/main.ts ...`,
  );
  assertEquals(failureText(refused("NotCapable", said("--allow-ffi"))), `${said("--allow-ffi")}. ${where} --allow-ffi cli/main.ts ...`);
  assertEquals(failureText(refused("PermissionDenied", "no")), "no");
  assertEquals(
    failureText(new LookupError("a", "EPERM", said("--allow-net"))),
    `Cannot look up the host name a: EPERM. ${said("--allow-net")}. ${where} --allow-ffi --allow-net cli/main.ts ...`,
  );
  assertEquals(failureText(new LookupError("a", "ENOTFOUND")), "Cannot look up the host name a: ENOTFOUND");
});
