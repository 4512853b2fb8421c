/** What shells offer of a kernel: devices, groups and network namespaces, as they are at that moment, to everybody. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { main } from "../../cli/main.ts";
import { CompletingShell, SHELLS } from "../support/shells.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { Named } from "./namespace.ts";
import { COMMANDS, ending } from "./runtime.ts";
import { bareWire, ip, run, sample, scene, wire } from "./scene.ts";

/** The same user without capabilities, which is nobody to the kernel, but can read what the runtime has cached. */
const WITHOUT_CAPABILITIES = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];

/** The words that are offered, with what they mean. */
async function offered(...words: string[]): Promise<string[]> {
  const io = fakeIo();
  assertEquals(await main(["__complete", ...words], io), 0);
  return io.text().replace(/\n$/, "").split("\n").slice(2);
}

scene("devices and groups are offered as they come and go", async () => {
  wire();
  assertEquals(await offered("-g", ""), []);
  sample("a ingress", "rate 1 group 77");
  sample("a egress", "rate 1 group 77");
  assertEquals(await offered("-g", ""), ["77\tused by 2"]);
  assertEquals(await offered("capture", "--group=", ""), await offered("capture", ""));
  assertEquals(await offered("doctor", "--group="), ["77\tused by 2"]);
  const devices = await offered("capture", "");
  for (const line of ["any\t", "lo\tup", "a\tup", "b\tup"]) assert(devices.includes(line), `${line} is not in ${devices}`);
  ip("link set dev b down", "link set dev b name renamed");
  const later = await offered("doctor", "");
  assert(later.includes("renamed\tdown") && !later.some((line) => line.startsWith("b\t")), `${later}`);
  assertEquals(await offered("tc", "filter", "show", "dev", ""), later);
});

scene("a name that is not plain text is not offered", async () => {
  bareWire();
  ip("link set dev b down");
  run("ip", ["link", "set", "dev", "b", "name", "\x1b[31mred"]);
  const names = await offered("doctor", "");
  assert(names.includes("a\tup") || names.includes("a\tdown"), `${names}`);
  assertEquals(names.filter((line) => line.includes("red")), []);
});

scene("with --netns the devices and groups are those of that namespace", "initial-namespace", async () => {
  using there = new Named();
  there.inside(() => {
    wire();
    sample("a ingress", "rate 1 group 78");
  });
  const devices = await offered("capture", "--netns", there.name, "");
  assert(devices.includes("a\tup"), `${devices}`);
  assertEquals(await offered("doctor", `--netns=${there.name}`, "-g", ""), ["78\tused by 1"]);
  assert(!(await offered("capture", "")).includes("a\tup"));
});

for (const shell of SHELLS) {
  // What the command asks of the kernel is the same for each: an emulated processor does it for one, since starting zsh takes it minutes.
  const kernels = shell.name === "bash" ? [] : ["linux>=6.11"] as const;
  scene(`${shell.name} completes a device and a group of the kernel`, ...kernels, `program:${shell.name}`, "program:script", async () => {
    wire();
    sample("a ingress", "rate 1 group 77");
    ip("link set dev b down", "link set dev b name xyz");
    await using started = await CompletingShell.start(shell);
    assertStringIncludes(await started.run("psample -g 7\t"), "<-g><77>.");
    assertStringIncludes(await started.run("psample doctor x\t"), "<doctor><xyz>.");
  });
}

for (const { name, words } of COMMANDS) {
  scene(`${name} answers a shell without privilege`, "program:setpriv", async () => {
    wire();
    sample("a ingress", "rate 1 group 79");
    using there = new Named();
    const ask = async (...args: string[]): Promise<string[]> => {
      const command = [...WITHOUT_CAPABILITIES, ...words("--allow-read=/run/netns"), "__complete", ...args];
      const { status, out, err } = await ending(command);
      assertEquals([status, err], [0, ""]);
      return out.replace(/\n$/, "").split("\n").slice(2);
    };
    assertEquals(await ask("-g", ""), ["79\tused by 1"]);
    assert((await ask("capture", "")).includes("a\tup"));
    assert((await ask("capture", "--netns", "")).includes(`${there.name}\t`));
  });
}
