import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { LookupError } from "../../mod.ts";
import { failureText } from "../../cli/failure.ts";
import { NetlinkError } from "../../mod.ts";
import { OPTION_CURES } from "../../src/control/sampling/install.ts";
import { WAIT } from "../../src/receive/family_watch.ts";

function refused(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

test("a missing permission says where to put the flag", () => {
  const said = (flag: string): string => `Requires some access, run again with the ${flag} flag`;
  const where = "Flags of Deno go before the program, with those that you have: deno run";
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

test("what the library calls by its options has the names of the command's", () => {
  const said = (cure: typeof OPTION_CURES[keyof typeof OPTION_CURES]): string =>
    failureText(new NetlinkError("sample", 17, { hint: { before: "", ...cure } }))!.split(". ")[1]!;
  assertEquals(Object.values(OPTION_CURES).map(said), [
    "leave out --hardware",
    "give --index without --rate to share it",
    "give --rate and --group to create one",
  ]);
});

test("how to wait for the module is said in the command's words", () => {
  const error = new NetlinkError("receive samples", 2, { hint: { before: "Load it. To wait for it: ", ...WAIT } });
  assertEquals(failureText(error), "Cannot receive samples: no such file or directory (ENOENT). Load it. To wait for it: psample --wait");
});

test("only what the library advises is said in other words, not what the kernel or the user says", () => {
  const { words } = OPTION_CURES.software;
  const error = new NetlinkError("sample", 95, { extack: words, hint: { before: `${words}? Then `, ...OPTION_CURES.software } });
  assertEquals(
    failureText(error),
    `Cannot sample: operation not supported (EOPNOTSUPP): ${words}. ${words}? Then leave out --hardware`,
  );
});
