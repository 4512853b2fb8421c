/** The three ways of docs/permissions.md, as they are written there: a service, sudo, and a file for a group only. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { installCommand } from "../support/command.ts";
import { blocksOn, filesOn } from "../support/pages.ts";
import { commandsIn } from "../support/readme.ts";
import { counting, ETH_EXPERIMENT, ethernet, frameOut, PEER } from "./frames.ts";
import { BUN, COMMANDS, type Ended, ending, Program, ROOT } from "./runtime.ts";
import { bareWire, ip, run, sample, scene, send, tc, until } from "./scene.ts";
import { installSudo } from "./sudo.ts";
import { ETC, Systemd } from "./systemd.ts";
import { tcDump } from "./tc_dump.ts";

const PAGE = "docs/permissions.md";
const [RULE, ONE_COMMAND, FREE] = ["/etc/sudoers.d/psample", "/etc/sudoers.d/psample-top", "/etc/sudoers.d/test"] as const;
const COMMAND = "/usr/bin/psample";
const UNIT = "psample.service";
const FILES = filesOn(PAGE);
const [SERVICE, MEMBERS, GROUP_ONLY, OVERRIDE] = commandsIn(PAGE) as [string[], string[], string[], string[]];
const CONSOLE = blocksOn(PAGE).filter(({ language }) => language === "console").map(({ code }) => code.trim());

/** Words that run a shell line as somebody, as a login would: with the groups of that user. */
function as(user: string, line: string): string[] {
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups", "--inh-caps=-all", "sh", "-c", line];
}

async function typed(user: string, line: string): Promise<Ended> {
  return await ending(as(user, line));
}

/** Types lines of the page as root. */
function asRoot(lines: readonly string[]): void {
  for (const line of lines) run("sh", ["-ec", `cd '${ROOT}'; PATH=$PATH:/usr/sbin:/sbin; ${line}`]);
}

test("docs/permissions.md: nothing on it is left out here", () => {
  const languages = blocksOn(PAGE).map(({ language }) => language).sort();
  assertEquals(languages, ["console", "ini", "sh", "sh", "sh", "sh", "text", "text"]);
  assertEquals([...FILES.keys()], [UNIT, "/etc/sudoers.d/psample", "/etc/sudoers.d/psample-top"]);
  // test/kernel/package_test.ts runs this line of SECURITY.md.
  assertStringIncludes(readFileSync(join(ROOT, "SECURITY.md"), "utf8"), `\`${OVERRIDE[0]}\``);
  for (const unit of [UNIT, "psample-export.service"]) {
    const lines = readFileSync(join(ROOT, "examples", unit), "utf8").split("\n");
    for (const line of FILES.get(UNIT)!.trim().split("\n")) assert(lines.includes(line), `${unit}: ${line}`);
  }
});

scene("docs/permissions.md: the service records with one capability, as a user of its own", "guest", "program:systemd", async () => {
  bareWire();
  tc("qdisc add dev a clsact");
  sample("a egress", "rate 1 group 5");
  const [link, state] = ["/usr/local/bin/psample", "/var/lib/private/psample"];
  try {
    // As the packages do.
    asRoot(["groupadd -f psample"]);
    await using systemd = await Systemd.start();
    systemd.prepare(UNIT, [], COMMANDS.length > 1 ? COMMANDS.at(-1)!.words()[0] : undefined);
    symlinkSync(COMMAND, link);
    for (const line of SERVICE) {
      const { status, out } = systemd.run("sh", "-ec", `cd '${ROOT}'; ${line}`);
      assertEquals(status, 0, `${line}: ${out}${systemd.output}`);
    }
    const file = join(state, "samples.pcapng");
    // It has no way to say that it listens: the file is there when it does.
    await until(() => `it records: ${systemd.output}`, () => existsSync(file) && statSync(file).size > 0);
    const status = readFileSync(`/proc/${systemd.mainPid(UNIT)}/status`, "utf8");
    assertMatch(status, /^CapEff:\s+0000000000001000$/m);
    assertMatch(status, /^CapBnd:\s+0000000000001000$/m);
    assert(Number(/^Uid:\s+(\d+)/m.exec(status)![1]) >= 61_184, status);
    send("a", frameOut(), frameOut(), frameOut());
    await until(() => `they are recorded: ${systemd.output}`, () => statSync(file).size > 3 * frameOut().length);
    assertEquals(statSync(file).mode & 0o077, 0);
    assertEquals(systemd.ctl("stop", UNIT).status, 0);
    const { out } = await ending([...COMMANDS.at(-1)!.words("--allow-read"), "read", file]);
    assertEquals(out.split("\n").filter((line) => line.includes("192.0.2.1.4000")).length, 3, out);
  } finally {
    for (const path of [link, state, join(ETC, UNIT), join(ETC, "multi-user.target.wants", UNIT)]) {
      rmSync(path, { recursive: true, force: true });
    }
  }
});

scene(
  "docs/permissions.md: with sudo members may sample and others may not; the file can be for members only",
  "guest",
  "program:sudo",
  async () => {
    ip("link add name eth0 index 150 type dummy", "link set dev eth0 up");
    const before = tcDump("eth0");
    try {
      installSudo();
      installCommand(COMMAND, COMMANDS.at(-1)!.words("--allow-read", "--allow-write"));
      asRoot(["useradd alice", "useradd mallory"]);
      writeFileSync(RULE, FILES.get(RULE)!);
      asRoot(MEMBERS);
      assertEquals(statSync(RULE).mode & 0o777, 0o440);
      // Nobody is here to type passwords.
      writeFileSync(FREE, "Defaults !authenticate\n", { mode: 0o440 });

      await using capture = new Program(as("alice", CONSOLE[0]!));
      let over = false;
      capture.ended.then(() => over = true, () => over = true);
      await until(() => `it ends: ${capture.err}${capture.out}`, () => {
        send(150, ...Array.from({ length: 200 }, () => ethernet(PEER, PEER, ETH_EXPERIMENT, counting(60))));
        return over;
      });
      const { status, out, err } = await capture.ended;
      assertEquals(status, 0, err);
      assertEquals(out.split("\n").filter((line) => / eth0 +> /.test(line)).length, 10, out);
      assertEquals(tcDump("eth0"), before);

      const refused = await typed("mallory", CONSOLE[0]!);
      assertEquals([refused.status, refused.out], [1, ""]);
      assertMatch(refused.err, /mallory is not in the sudoers file/);
      assertEquals((await typed("alice", "sudo id -u")).status, 1, "members may run nothing else");

      // What a member puts into the environment does not reach the runtime.
      const [preload, trace] = ["/tmp/preload.js", "/tmp/trace"];
      mkdirSync("/tmp", { recursive: true });
      writeFileSync(preload, `require("node:fs").writeFileSync("${trace}", "");`);
      if (BUN) {
        run("sh", ["-c", `BUN_OPTIONS=--preload=${preload} ${COMMAND} --version`]);
        assert(existsSync(trace), "without sudo it does");
        rmSync(trace);
      }
      assertEquals((await typed("alice", `BUN_OPTIONS=--preload=${preload} sudo psample --version`)).status, 0);
      assert(!existsSync(trace), "sudo kept BUN_OPTIONS");

      // With its options a command is allowed with these only.
      rmSync(RULE);
      writeFileSync(ONE_COMMAND, FILES.get(ONE_COMMAND)!, { mode: 0o440 });
      const allowed = async (words: string): Promise<boolean> => (await typed("alice", `sudo -l ${COMMAND} ${words}`)).status === 0;
      assert(await allowed("top eth0 --once --user nobody"));
      for (const words of ["top eth0 --once", "top eth0 --once --user nobody --netns x", "top eth1 --once --user nobody"]) {
        assert(!await allowed(words), words);
      }

      asRoot(GROUP_ONLY);
      assertEquals((await typed("alice", `test -x ${COMMAND}`)).status, 0);
      assertNotEquals((await typed("mallory", `test -x ${COMMAND}`)).status, 0);
      const denied = await typed("mallory", COMMAND);
      assertEquals(denied.status, 126);
      assertMatch(denied.err, /Permission denied/i);
    } finally {
      asRoot(["userdel --force alice", "userdel --force mallory", "groupdel psample"]);
      for (const path of [COMMAND, RULE, ONE_COMMAND, FREE]) rmSync(path, { force: true });
    }
  },
);
