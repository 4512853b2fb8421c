/** The deb that `deno task package` makes, on a machine with systemd: installed, run, upgraded and purged by dpkg. */
import { appendFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { makeDeb } from "../run/packages/deb.ts";
import { RECORDINGS, SERVICES } from "../run/packages/recipe.ts";
import { systemTree } from "../run/packages/tree.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { ROOT } from "./runtime.ts";
import { frameOut } from "./frames.ts";
import { bareWire, run, scene, send, until } from "./scene.ts";
import { ETC, Systemd } from "./systemd.ts";
import { tcDump } from "./tc_dump.ts";

const SERVICE = "psample-export.service";
/** A recording of one device: a service, and the timer that starts it. */
const [RECORDING, TIMER] = RECORDINGS.map((name) => name.replace("@", "@a")) as [string, string];
const CONFIG = "/etc/psample/export.conf";
const SECURITY = readFileSync(join(ROOT, "SECURITY.md"), "utf8");
const DROP_INS = [SERVICE, RECORDING].map((unit) => join(ETC, `${unit}.d`));
/** What `systemctl enable` makes of the timer. */
const ENABLED = join(ETC, "timers.target.wants", TIMER);
/** Where the recordings are: what DynamicUser= makes of StateDirectory= (systemd.exec(5)). */
const STATE = "/var/lib/private/psample-record";
const BINARY = process.env.PSAMPLE_BINARY;
const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";

// What dpkg and systemd do with a package depends on no kernel, and on no runtime: the compiled file has its own.
const skip = BINARY === undefined
  ? "PSAMPLE_BINARY does not name the compiled file: deno task kernel compiles it"
  : "Deno" in globalThis
  ? "the compiled file is the same whatever runs this test: it is installed in the run in Bun"
  : process.env.PSAMPLE_GUEST === "old"
  ? "an emulated processor takes more than five minutes to unpack 110 MB twice, and nothing in it depends on the kernel"
  : false;

if (BINARY === undefined || skip) {
  test("the deb", { skip }, () => {});
} else {
  scene(
    "the deb: installing starts nothing, upgrading restarts what runs and keeps its configuration, purging leaves nothing",
    "guest",
    "program:systemd",
    "program:dpkg",
    async () => {
      bareWire();
      const before = tcDump("a");
      const directory = mkdtempSync("/var/tmp/deb-");
      using receiver = new UdpReceiver();
      await using systemd = await Systemd.start();
      const tree = systemTree(new Uint8Array(readFileSync(BINARY)));
      const dpkg = (...words: string[]): string => {
        // dpkg insists on programs that only root has in PATH.
        const { status, out } = systemd.run("env", `PATH=/usr/sbin:/sbin:${process.env.PATH}`, "dpkg", "--force-unsafe-io", ...words);
        assertEquals(status, 0, `dpkg ${words.join(" ")}: ${out}`);
        return out;
      };
      const install = (version: string): string => {
        const file = join(directory, `psample_${version}.deb`);
        makeDeb(tree, file, {
          version,
          architecture: ARCHITECTURE,
          maintainer: "Nobody <nobody@psample.invalid>",
          seconds: 1769860800,
          fast: true,
        });
        const out = dpkg("--install", file);
        rmSync(file);
        return out;
      };
      // This systemd looks for units elsewhere than where packages have them.
      for (const unit of [...SERVICES, ...RECORDINGS]) {
        systemd.install(unit, new TextDecoder().decode(tree.get(`usr/lib/systemd/system/${unit}`)!.content));
      }
      try {
        install("1.0.0");
        assertStringIncludes(dpkg("--status", "psample"), "Status: install ok installed\n");
        assertEquals(run("/usr/bin/psample", ["--version"]).slice(0, 8), "psample ");
        assertEquals(run("/usr/bin/psample", ["demo", "--count", "2"]).match(/^\d\d:\d\d:\d\d/gm)?.length, 2);
        assertEquals(run("getent", ["group", "psample"]).slice(0, 8), "psample:");
        assertEquals(systemd.show(SERVICE, "ActiveState"), "inactive");

        appendFileSync(CONFIG, `device a:1\ndirection egress\nsflow ${receiver.target}\n`);
        const started = systemd.ctl("start", SERVICE);
        assertEquals(started.status, 0, started.out);
        const pid = systemd.show(SERVICE, "MainPID");
        await until("samples arrive", () => {
          send("a", frameOut());
          return receiver.receive().length > 0;
        });
        const recorded = systemd.ctl("start", RECORDING);
        assertEquals(recorded.status, 0, recorded.out);
        const recording = systemd.show(RECORDING, "MainPID");
        assertEquals(systemd.ctl("enable", "--now", TIMER).status, 0);
        assert(lstatSync(ENABLED).isSymbolicLink());
        await until("it records", () => existsSync(`${STATE}/a-00001.pcapng`));

        // As SECURITY.md says: only root and the members of a group may execute it, which an upgrade does not change.
        const [override] = /dpkg-statoverride --update --add root psample 0750 \/usr\/bin\/psample/.exec(SECURITY)!;
        assertEquals(systemd.run(...override.split(" ")).status, 0);
        const [groups] = /SupplementaryGroups=psample/.exec(SECURITY)!;
        for (const dropIn of DROP_INS) {
          mkdirSync(dropIn, { recursive: true });
          writeFileSync(join(dropIn, "group.conf"), `[Service]\n${groups}\n`);
        }

        install("1.0.1");
        assertEquals(statSync("/usr/bin/psample").mode & 0o7777, 0o750);
        assertEquals(statSync("/usr/bin/psample").gid, Number(run("getent", ["group", "psample"]).split(":")[2]));
        assertStringIncludes(dpkg("--status", "psample"), "Version: 1.0.1\n");
        assertStringIncludes(readFileSync(CONFIG, "utf8"), "device a:1\n");
        assertEquals(systemd.show(SERVICE, "ActiveState"), "active");
        assertNotEquals(systemd.show(SERVICE, "MainPID"), pid);
        // It ends on its own, with the version that began it.
        assertEquals(systemd.show(RECORDING, "MainPID"), recording);

        dpkg("--purge", "psample");
        for (const unit of [SERVICE, RECORDING, TIMER]) assertEquals(systemd.show(unit, "ActiveState"), "inactive", unit);
        assertEquals(lstatSync(ENABLED, { throwIfNoEntry: false }), undefined);
        assertEquals(tcDump("a"), before);
        const left = [...tree.keys()].map((path) => `/${path}`).filter((path) => existsSync(path));
        assertEquals(left, []);
        for (const path of ["/etc/psample", "/var/lib/private/psample-export", STATE, "/usr/share/doc/psample"]) {
          assert(!existsSync(path), path);
        }
      } finally {
        rmSync(directory, { recursive: true });
        for (const path of [...DROP_INS, ENABLED]) rmSync(path, { recursive: true, force: true });
      }
    },
  );
}
