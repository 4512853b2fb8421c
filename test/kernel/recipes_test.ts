/** The recipes of docs/recipes.md that need a kernel with psample, typed as they stand there, with the programs that they are about. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "@std/yaml";
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import { listSampling, readRecording } from "../../mod.ts";
import { decodeDatagram } from "../export/sflow/decoder.ts";
import { installCommand } from "../support/command.ts";
import { pieces } from "../support/reading.ts";
import { blocksOf } from "../support/recipes.ts";
import { UdpReceiver } from "../support/udp_receiver.ts";
import { ethernet, frameOut, inOrder, PEER } from "./frames.ts";
import { openDirectory, Program, ROOT, script, startListening } from "./runtime.ts";
import { bareWire, ip, PATIENCE_MS, pause, run, sample, scene, send, tc, until, wire } from "./scene.ts";
import { ETC, Systemd } from "./systemd.ts";
import { tcDump } from "./tc_dump.ts";

const COMMAND = "/usr/bin/psample";
const ETH0 = 150;

/** The command, with all its permissions. */
const WORDS = script("cli/main.ts", "--allow-read", "--allow-write", "--allow-net");

/** What a program typed at a shell needs to find the command. */
function withCommand(directory: string): Record<string, string> {
  installCommand(join(directory, "psample"), WORDS);
  return { PATH: `${directory}:${process.env.PATH}`, TZ: "UTC" };
}

function addEth0(): string {
  ip("link set lo up", `link add name eth0 index ${ETH0} type dummy`, "address add 192.0.2.1/24 dev eth0", "link set dev eth0 up");
  return tcDump("eth0");
}

/** The identification of each sampled IPv4 packet of a recording, in order. */
async function identifications(bytes: Uint8Array): Promise<number[]> {
  const all: number[] = [];
  await using source = await readRecording(pieces(bytes));
  for await (const batch of source.lentBatches()) {
    for (const entry of batch.entries) if (entry.type === "sample") all.push(entry.data![18]! << 8 | entry.data![19]!);
  }
  return all;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

scene("nlmon: tcpdump and psample see what other programs receive, once for each of them", "module:nlmon", "program:tcpdump", async () => {
  wire();
  sample("a egress", "rate 1 group 5");
  const [add, up, read, remove] = blocksOf("nlmon: what the kernel says")[0]!.trim().split("\n");
  run("sh", ["-ec", `${add}\n${up}`]);
  const directory = openDirectory();
  await using reading = new Program(["bash", "-c", read!], withCommand(directory));
  await until(() => `it listens; so far it said ${reading.err}`, () => reading.err.includes("listening on nlmon0"));
  const lines = (): number => reading.out.split("\n").filter((line) => line.includes("192.0.2.1.4000 > 192.0.2.2.5000")).length;
  // Nobody receives these.
  send("a", ...inOrder(10, frameOut));
  // These programs ask for the family, too.
  await using _one = await startListening(script("cli/main.ts"));
  send("a", ...inOrder(20, frameOut));
  await until(() => `all are printed: ${reading.err}${reading.out}`, () => lines() === 20);
  await using _other = await startListening(script("cli/main.ts"));
  send("a", ...inOrder(20, frameOut));
  await until(() => `all are printed twice: ${reading.err}${reading.out}`, () => lines() === 60);
  run("sh", ["-ec", remove!]);
  const { err } = await reading.ended;
  assertStringIncludes(err, "psample: read 60 samples");
  rmSync(directory, { recursive: true });
});

scene("tshark shows the messages of a recording made by psample -w", "program:tshark", async () => {
  wire();
  sample("a egress", "rate 1 group 5");
  const [record, show] = blocksOf("nlmon: what the kernel says")[1]!.trim().split("\n");
  const directory = openDirectory();
  await using recording = new Program(["bash", "-c", record!], withCommand(directory), directory);
  let ended = false;
  recording.ended.finally(() => ended = true).catch(() => {});
  await until(() => `it has recorded: ${recording.err}`, () => {
    send("a", ...inOrder(2, frameOut));
    return ended;
  });
  const shown = run("sh", ["-ec", `cd '${directory}'\n${show}`]);
  assertEquals(shown.trim().split("\n").length, 10, shown);
  rmSync(directory, { recursive: true });
});

/** Starts an sshd that lets in the owner of a key, and writes what a client needs to know. */
async function startSshd(directory: string): Promise<Program> {
  const file = (name: string): string => join(directory, name);
  for (const key of ["host", "user"]) run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file(key)]);
  writeFileSync(
    file("sshd_config"),
    [
      `HostKey ${file("host")}`,
      `AuthorizedKeysFile ${file("user.pub")}`,
      `PidFile ${file("pid")}`,
      "ListenAddress 127.0.0.1",
      // The directory of this test belongs to nobody's home.
      "StrictModes no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin prohibit-password",
      "",
    ].join("\n"),
  );
  writeFileSync(file("known_hosts"), `server ${readFileSync(file("host.pub"), "utf8")}`);
  const settings = ["Host server", "HostName 127.0.0.1", "HostKeyAlias server", "BatchMode yes", "IdentitiesOnly yes"];
  settings.push(`IdentityFile ${file("user")}`, `UserKnownHostsFile ${file("known_hosts")}`, "GlobalKnownHostsFile none");
  writeFileSync(file("ssh_config"), `${settings.join("\n")}\n`);
  // What the installation of the package makes: a user without rights, and a directory for it.
  if (!/^sshd:/m.test(readFileSync("/etc/passwd", "utf8"))) {
    appendFileSync("/etc/passwd", "sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n");
  }
  mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const [path] = run("sh", ["-c", "command -v sshd"]).split("\n");
  const sshd = new Program([path!, "-D", "-e", "-f", file("sshd_config")]);
  await until(() => `sshd listens: ${sshd.err}`, () => sshd.err.includes("Server listening"));
  return sshd;
}

/** A scene with an sshd: `line` is the recipe, whose ssh knows that, and `before` what tc shows of eth0. */
function overSsh(name: string, play: (line: string, before: string) => Promise<void>, ...programs: `program:${string}`[]): void {
  scene(name, "guest", "module:dummy", "program:sshd", "program:ssh", "program:ssh-keygen", ...programs, async () => {
    const before = addEth0();
    const directory = mkdtempSync("/run/ssh-");
    installCommand(COMMAND, WORDS);
    try {
      await using _sshd = await startSshd(directory);
      const [recipe] = blocksOf("Wireshark on your desk, samples from a server")[0]!.trim().split("\n");
      const line = recipe!.replace("ssh root@server", `ssh -F ${directory}/ssh_config root@server`);
      assert(line.includes("ssh -F") && line.includes("--match 'not port 22'"), line);
      await play(line, before);
    } finally {
      rmSync(COMMAND, { force: true });
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

overSsh(
  "samples of a server arrive in tshark by SSH, and when that has enough nothing is left on the server",
  async (recipe, before) => {
    const fields = "-T fields -e frame.interface_name -e ip.id -e ip.src -e frame.comment";
    const line = recipe.replace("wireshark -k -i -", `tshark -l -n -i - -c 5 ${fields}`);
    assert(line.includes("tshark"), line);
    // In the recipe's words the rate is the default: 1 in 1000.
    await using watching = new Program(["bash", "-c", line]);
    await until(() => `it samples: ${watching.err}${watching.out}`, () => watching.err.includes("sampling eth0"));
    assertEquals((await listSampling()).length, 2);
    let id = 0;
    const sendMore = async (): Promise<void> => {
      send(ETH0, ...Array.from({ length: 500 }, () => frameOut({ id: id++ & 0xffff })));
      // An emulated processor has to do all the rest, too.
      await pause(200);
    };
    await until(() => `tshark has enough: ${watching.err}${watching.out}`, async () => {
      await sendMore();
      return watching.out.trim().split("\n").length >= 5;
    });
    const rows = watching.out.trim().split("\n").map((row) => row.split("\t"));
    for (const [device, , source, comment] of rows) {
      assertEquals([device, source], ["eth0", "192.0.2.1"]);
      assertMatch(comment!, /sample-rate 1000/);
    }
    // ssh notices with the next samples that nobody reads.
    await until(() => `nothing is left: ${watching.err}`, async () => {
      await sendMore();
      return (await listSampling()).length === 0;
    });
    await watching.ended;
    assertEquals(tcDump("eth0"), before);
  },
  "program:tshark",
);

overSsh("when Ctrl-C ends ssh, nothing is left on the server, without a packet", async (recipe, before) => {
  const [ssh] = recipe.split(" | ");
  await using cut = new Program(["bash", "-c", `exec ${ssh!.replace("not port 22", "udp port 1")} >/dev/null`]);
  await until(() => `it samples: ${cut.err}`, () => cut.err.includes("sampling eth0"));
  assertEquals((await listSampling()).length, 2);
  cut.signal("SIGINT");
  await until("nothing is left", async () => (await listSampling()).length === 0);
  assertEquals(tcDump("eth0"), before);
});

const RECORD = "psample-record@";
/** Longer than the command takes to start, which is what it is counted from: an emulated processor takes a while. */
const HOUR = process.env.PSAMPLE_GUEST === "old" ? "6s" : "3s";
/** Where DynamicUser= has the directories of StateDirectory= (systemd.exec(5)). */
const PRIVATE = "/var/lib/private";

/** A scene with a systemd, and examples that are installed for it. */
function served(
  name: string,
  units: readonly string[],
  play: (systemd: Systemd) => Promise<void>,
  ...programs: `program:${string}`[]
): void {
  scene(name, "guest", "program:systemd", ...programs, async () => {
    try {
      bareWire();
      await using systemd = await Systemd.start();
      await play(systemd);
    } finally {
      for (const unit of units) {
        for (const path of [join(ETC, unit), join(ETC, `${unit}.d`)]) rmSync(path, { recursive: true, force: true });
      }
      for (const name of ["psample", "psample-record"]) rmSync(join(PRIVATE, name), { recursive: true, force: true });
      for (const name of ["psample", "psample-record"]) rmSync(join("/var/lib", name), { recursive: true, force: true });
    }
  });
}

served("the timer starts a recording, each in a file of its own, and nothing is left between them", [
  `${RECORD}.service`,
  `${RECORD}.timer`,
], async (systemd) => {
  const before = tcDump("a");
  const service = `${RECORD}a.service`;
  systemd.prepare(service, ["ExecStopPost=/bin/sh -c 'echo result $SERVICE_RESULT'"]);
  const [install] = blocksOf("An hour a day: a systemd timer");
  const [copy, reload, enable, ...more] = install!.trim().split("\n");
  assertEquals(more, []);
  // An hour of seconds, every two seconds unless one lasts, of which the last is kept; by the drop-ins that the page describes.
  const dropIns = {
    service: `[Service]\nEnvironment=RATE=1 DURATION=${HOUR} KEEP=1\n`,
    timer: "[Timer]\nOnCalendar=\nOnCalendar=*-*-* *:*:0/2\n",
  };
  for (const [kind, text] of Object.entries(dropIns)) {
    mkdirSync(join(ETC, `${RECORD}.${kind}.d`), { recursive: true });
    writeFileSync(join(ETC, `${RECORD}.${kind}.d/settings.conf`), text);
  }
  for (const line of [copy!, reload!, enable!.replace("@eth0", "@a")]) {
    const { status, out } = systemd.run("sh", "-ec", `cd "$0"\n${line}`, ROOT);
    assertEquals(status, 0, `${line}\n${out}`);
  }
  const results = (): number => systemd.output.split("\nresult success\n").length - 1;
  const whole = (): string => `${systemd.output}${systemd.ctl("status", service, `${RECORD}a.timer`).out}`;
  await until(() => `two have ended well: ${whole()}`, () => {
    if (/^\s*result (?!success)/m.test(systemd.output)) throw new Error(whole());
    send("a", frameOut());
    return results() >= 2;
  }, 3 * PATIENCE_MS);
  assertEquals(systemd.ctl("stop", `${RECORD}a.timer`, service).status, 0, systemd.output);
  assertEquals([await listSampling(), tcDump("a")], [[], before]);
  assertEquals(systemd.ctl("is-enabled", `${RECORD}a.timer`).out, "enabled\n");
  // Those before the last one are gone, and numbers are not used again.
  const [kept, ...others] = readdirSync(join(PRIVATE, "psample-record"));
  assertEquals(others, []);
  assertMatch(kept!, /^a-0000[2-9]\.pcapng$/);
  assert((await identifications(new Uint8Array(readFileSync(join(PRIVATE, "psample-record", kept!))))).length > 0, systemd.output);
  assertMatch(systemd.output, /\npsample: [\d,]+ packets? passed \(rule hits[^)]*\), 1 in 1: [\d,]+ sampled; .*lost 0/);
});

served("logrotate: SIGUSR2 begins a new file, and nothing is lost between the files", ["psample.service"], async (systemd) => {
  tc("qdisc add dev a clsact");
  sample("a egress", "rate 1 group 5");
  systemd.prepare("psample.service", []);
  const unit = readFileSync(join(ROOT, "examples/psample.service"), "utf8").replace("/usr/local/bin/psample", COMMAND);
  systemd.install("psample.service", unit);
  const config = "/etc/logrotate.d/psample";
  const [install, debug, ...more] = blocksOf("logrotate")[0]!.trim().split("\n");
  assertEquals(more, []);
  mkdirSync("/etc/logrotate.d", { recursive: true });
  const directory = join(PRIVATE, "psample");
  const present = join(directory, "samples.pcapng");
  try {
    assertEquals(systemd.run("sh", "-ec", `cd "$0"\n${install}`, ROOT).status, 0);
    const started = systemd.ctl("start", "psample.service");
    assertEquals(started.status, 0, started.out);
    await until(() => `it records: ${systemd.output}${systemd.ctl("status", "psample.service").out}`, () => {
      send("a", frameOut({ id: 0 }));
      return existsSync(present) && readFileSync(present).length > 500;
    });
    const checked = systemd.run("sh", "-ec", debug!);
    assertEquals(checked.status, 0, checked.out);
    assertStringIncludes(checked.out, "considering log /var/lib/psample/samples.pcapng");
    assert(!/error/i.test(checked.out), checked.out);
    let id = 0;
    const sendSome = (count: number): void => send("a", ...Array.from({ length: count }, () => frameOut({ id: ++id })));
    for (let i = 0; i < 3; i++) {
      sendSome(100);
      // Packets keep coming while it rotates.
      const words = systemd.words("sh", "-c", `exec logrotate --force --state /run/state ${config}`);
      await using rotating = new Program(words);
      let ended = false;
      rotating.ended.finally(() => ended = true).catch(() => {});
      await until("logrotate has ended", () => {
        sendSome(5);
        return ended;
      });
      const { status, err, out } = await rotating.ended;
      assertEquals([status, err], [0, ""], out);
      await until(() => `it has a new file: ${systemd.output}`, () => {
        sendSome(5);
        return existsSync(present) && readFileSync(present).length > 500;
      });
    }
    assertEquals(systemd.ctl("stop", "psample.service").status, 0);
    // All but the last two are compressed.
    assertEquals(readdirSync(directory).sort(), ["samples.pcapng", "samples.pcapng.1", "samples.pcapng.2.gz", "samples.pcapng.3.gz"]);
    const parts = ["samples.pcapng.3.gz", "samples.pcapng.2.gz", "samples.pcapng.1", "samples.pcapng"].map((name) => {
      const bytes = readFileSync(join(directory, name));
      return new Uint8Array(name.endsWith(".gz") ? gunzipSync(bytes) : bytes);
    });
    const read = (await Promise.all(parts.map(identifications))).flat();
    assertEquals(read.filter((one) => one > 0), upTo(id));
    assertMatch(systemd.output, /lost 0/);
  } finally {
    rmSync(config, { force: true });
    rmSync("/run/state", { force: true });
  }
}, "program:logrotate");

interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly securityContext: {
    readonly runAsUser: number;
    readonly capabilities: { readonly drop: readonly string[]; readonly add: readonly string[] };
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
  };
}

/** A program as a container engine starts it: root with nothing but these capabilities, and files that it cannot write. */
function contained({ command, args, securityContext }: Container, values: Readonly<Record<string, string>>): Program {
  const { runAsUser, capabilities, allowPrivilegeEscalation, readOnlyRootFilesystem } = securityContext;
  assertEquals([runAsUser, capabilities.drop, allowPrivilegeEscalation, readOnlyRootFilesystem], [0, ["ALL"], false, true]);
  const added = capabilities.add.map((name) => `,+${name.toLowerCase()}`).join("");
  const words = [...command, ...args].map((word) =>
    word.replace(/\$\((\w+)\)/g, (_, name: string) => {
      assert(name in values, name);
      return values[name]!;
    })
  );
  const rights = ["setpriv", "--no-new-privs", "--inh-caps=-all", `--bounding-set=-all${added}`];
  const readOnly = 'mount --bind / / && mount -o remount,bind,ro / && ! touch /written 2>/dev/null && cd / && exec "$@"';
  return new Program(["unshare", "--mount", "--propagation", "private", "sh", "-c", readOnly, "sh", ...rights, ...words]);
}

scene(
  "the containers of the DaemonSet do their work with the rights that it gives them, and no others",
  "guest",
  "module:dummy",
  async () => {
    const before = addEth0();
    installCommand(COMMAND, WORDS);
    const set = parse(readFileSync(join(ROOT, "examples/psample-daemonset.yaml"), "utf8")) as {
      kind: string;
      spec: { template: { spec: { hostNetwork: boolean; initContainers: Container[]; containers: Container[] } } };
    };
    const { hostNetwork, initContainers: [cleanup], containers: [exporter] } = set.spec.template.spec;
    assertEquals([set.kind, hostNetwork], ["DaemonSet", true]);
    using receiver = new UdpReceiver();
    const values = { COLLECTOR: receiver.target, NODE_IP: "192.0.2.1" };
    assertEquals(exporter!.env!.map(({ name }) => name).sort(), Object.keys(values).sort());
    try {
      await using cleaning = contained(cleanup!, {});
      const { status: cleaned, err: said } = await cleaning.ended;
      assertEquals(cleaned, 0, said);
      await using exporting = contained(exporter!, values);
      await until(() => `it samples: ${exporting.err}`, async () => (await listSampling()).length === 2);
      // 1 in 400, which is the default where the speed of the link is unknown.
      await until(() => `samples arrive: ${exporting.err}`, () => {
        send(ETH0, ...Array.from({ length: 500 }, () => ethernet(PEER, PEER, 0x88b5, new Uint8Array(60))));
        return receiver.receive().some((bytes) => decodeDatagram(new Uint8Array(bytes)).samples.some(({ rate }) => rate !== undefined));
      });
      const status = readFileSync(`/proc/${exporting.pid}/status`, "utf8");
      assertMatch(status, /^CapEff:\s+0000000000001000$/m);
      const get = (path: string): string => {
        const request = `exec 3<>/dev/tcp/192.0.2.1/9410; printf 'GET ${path} HTTP/1.0\\r\\nHost: 192.0.2.1:9410\\r\\n\\r\\n' >&3; cat <&3`;
        return spawnSync("bash", ["-c", request], { encoding: "utf8" }).stdout;
      };
      const { httpGet } = exporter!.livenessProbe!;
      assertEquals(exporter!.ports, [{ name: httpGet.port, containerPort: 9410 }]);
      assertMatch(get(httpGet.path), /^HTTP\/1\.1 200 /);
      assertMatch(get("/metrics"), /^psample_samples_total\S* [1-9]/m);
      exporting.signal("SIGTERM");
      const { status: ended, err } = await exporting.ended;
      assertEquals(ended, 0, err);
      assertMatch(err, /lost 0/);
      assertEquals([await listSampling(), tcDump("eth0")], [[], before]);
    } finally {
      rmSync(COMMAND, { force: true });
    }
  },
);
