/** The commands and the unit of docs/scale.md that need a kernel with psample, as they stand there. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { listSampling, readRecording } from "../../mod.ts";
import { installCommand } from "../support/command.ts";
import { commandsOn, filesOn } from "../support/pages.ts";
import { pieces } from "../support/reading.ts";
import { frameOut } from "./frames.ts";
import { Program, script } from "./runtime.ts";
import { ip, run, scene, Sender, until } from "./scene.ts";
import { ETC, Systemd } from "./systemd.ts";
import { tcDump } from "./tc_dump.ts";

const COMMAND = "/usr/bin/psample";
const ETH0 = 150;
const COMMANDS = commandsOn("docs/scale.md").map(({ command }) => command);
const FILES = filesOn("docs/scale.md");

/** The only command of the page that contains these words. */
function command(words: string): string {
  const [found, ...more] = COMMANDS.filter((one) => one.includes(words));
  assert(found !== undefined && more.length === 0, words);
  return found!;
}

function addEth0(): string {
  ip("link set lo up", `link add name eth0 index ${ETH0} type dummy`, "address add 192.0.2.1/24 dev eth0", "link set dev eth0 up");
  return tcDump("eth0");
}

scene("one host: metrics and recordings, by the commands of the page", "guest", "module:dummy", async () => {
  const before = addEth0();
  installCommand(COMMAND, script("cli/main.ts", "--allow-read", "--allow-write", "--allow-net"));
  const directory = "/var/lib/psample";
  try {
    run("sh", ["-ec", command("mkdir -p")]);
    await using exporting = new Program(["bash", "-c", `exec ${command("--prometheus 9410")}`]);
    const metrics = (): string => {
      const request = "exec 3<>/dev/tcp/127.0.0.1/9410; printf 'GET /metrics HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; cat <&3";
      return spawnSync("bash", ["-c", request], { encoding: "utf8" }).stdout;
    };
    using sender = new Sender(ETH0, frameOut());
    await until(() => `samples are counted: ${exporting.err}`, () => {
      sender.send(2000);
      return /^psample_samples_total\S* [1-9]/m.test(metrics());
    });
    // The largest conversations are there too.
    assertMatch(metrics(), /^psample_top_\w+\{.*192\.0\.2\.2.*\} [1-9]/m);
    exporting.signal("SIGTERM");
    const { status, err } = await exporting.ended;
    assertEquals(status, 0, err);
    assertMatch(err, /lost 0/);
    const files = readdirSync(directory);
    assertEquals(files.length, 1, files.join());
    let samples = 0;
    await using source = await readRecording(pieces(new Uint8Array(readFileSync(join(directory, files[0]!)))));
    for await (const batch of source.lentBatches()) for (const { type } of batch.entries) if (type === "sample") samples++;
    assert(samples > 0);
    assertEquals([await listSampling(), tcDump("eth0")], [[], before]);
  } finally {
    rmSync(COMMAND, { force: true });
    rmSync(directory, { recursive: true, force: true });
  }
});

/** Where the unit finds programs that were only unpacked: home directories are out of reach for its user. */
const PROGRAMS = "/run/psample/programs";

/** Installs sfacctd where Debian's package has it, if it was only unpacked; returns lines for the unit. */
function installSfacctd(path: string): string[] {
  const found = run("sh", ["-c", "command -v sfacctd"]).trim();
  if (found === path) return [];
  const tree = join(dirname(found), "../tree");
  writeFileSync(path, readFileSync(found, "utf8").replaceAll(tree, PROGRAMS), { mode: 0o755 });
  return [`BindReadOnlyPaths=${tree}:${PROGRAMS}`];
}

/** The collector's configuration of the page, but it prints what it counts: the tests of the page have the database. */
function printing(): string {
  const text = FILES.get("/etc/pmacct/sfacctd.conf")!;
  const lines = text.split("\n").filter((line) => !line.startsWith("sql_")).join("\n").replace(
    "plugins: pgsql[flows]",
    "plugins: print[flows]",
  );
  assert(lines.includes("plugins: print[flows]"));
  return `${lines}\nprint_output[flows]: json\nprint_refresh_time[flows]: 1\n`;
}

scene(
  "a hundred hosts: sfacctd as the unit of the page has it, and the command that hosts run",
  "guest",
  "module:dummy",
  "program:systemd",
  "program:sfacctd",
  async () => {
    const unit = "sfacctd.service";
    const path = join(ETC, unit);
    const text = FILES.get(path)!;
    const [, program] = /^ExecStart=(\S+)/m.exec(text)!;
    const isInstalled = run("sh", ["-c", `test -e ${program} && echo yes || true`]) !== "";
    addEth0();
    const hosts = readFileSync("/etc/hosts", "utf8");
    writeFileSync("/etc/hosts", `${hosts}\n127.0.0.1 collector.example.net\n`);
    mkdirSync("/etc/pmacct", { recursive: true });
    writeFileSync("/etc/pmacct/sfacctd.conf", printing());
    try {
      await using systemd = await Systemd.start();
      systemd.prepare(unit, installSfacctd(program!));
      writeFileSync(path, text);
      run("sh", ["-ec", command("chmod 600")]);
      const started = systemd.run("sh", "-ec", command("systemctl enable --now sfacctd"));
      const state = (): string => `${started.out}${systemd.ctl("status", unit).out}${systemd.output}`;
      assertEquals(started.status, 0, state());
      // Port 6343.
      const hasSocket = (table: string): boolean => readFileSync(`/proc/thread-self/net/${table}`, "utf8").includes(":18C7 ");
      const listens = (): boolean => systemd.show(unit, "ActiveState") === "active" && ["udp", "udp6"].some(hasSocket);
      await until(() => `it listens: ${state()}`, listens);
      assertEquals(systemd.ctl("is-enabled", unit).out.trim(), "enabled");
      // It is not root, and starts again when it was killed.
      const pid = systemd.mainPid(unit);
      assertMatch(readFileSync(`/proc/${pid}/status`, "utf8"), /^Uid:\s+6\d{4}\s/m);
      process.kill(pid, "SIGKILL");
      await until(() => `it was started again: ${state()}`, () => systemd.show(unit, "NRestarts") !== "0" && listens());
      await using exporting = new Program(["bash", "-c", `exec ${command("--sflow collector.example.net")}`]);
      using sender = new Sender(ETH0, frameOut());
      const counted = (): Record<string, unknown>[] =>
        systemd.output.split("\n").filter((line) => /^\{.*\}$/.test(line)).map((line) => JSON.parse(line));
      await until(() => `what is sent is counted: ${exporting.err}${state()}`, () => {
        sender.send(1000);
        return counted().length > 0;
      });
      for (const { ip_src, ip_dst, port_src, port_dst, ip_proto, packets, bytes } of counted()) {
        assertEquals([ip_src, ip_dst, port_src, port_dst, ip_proto], ["192.0.2.1", "192.0.2.2", 4000, 5000, "udp"]);
        // Each packet is a frame with its check sequence.
        assertEquals(bytes, 146 * Number(packets));
      }
      exporting.signal("SIGTERM");
      const { status, err } = await exporting.ended;
      assertEquals(status, 0, err);
      // All of its processes exit, also the one that prints or writes: otherwise systemd kills them after a long time.
      assertEquals(systemd.ctl("disable", "--now", unit).status, 0, state());
      assertEquals(systemd.show(unit, "Result"), "success");
    } finally {
      writeFileSync("/etc/hosts", hosts);
      for (const file of [path, "/etc/pmacct", ...(isInstalled ? [] : [program!])]) rmSync(file, { recursive: true, force: true });
    }
  },
);
