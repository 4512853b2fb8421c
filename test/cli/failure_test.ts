import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { failureText } from "../../cli/failure.ts";

function refused(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

test("a missing permission says where to put the flag", () => {
  const said = (flag: string): string => `Requires some access, run again with the ${flag} flag`;
  const where = "Flags of Deno go before the program: deno run";
  assertEquals(
    failureText(refused("NotCapable", said("--allow-write"))),
    `${said("--allow-write")}. ${where} --allow-ffi --allow-write cli/main.ts ...`,
  );
  assertEquals(failureText(refused("NotCapable", said("--allow-ffi"))), `${said("--allow-ffi")}. ${where} --allow-ffi cli/main.ts ...`);
  assertEquals(failureText(refused("PermissionDenied", "no")), "no");
});
