/** The recipes of docs/scale.md: what they store and answer is what was sent. The files and queries are those of the page. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { main } from "../../cli/main.ts";
import type { Sample } from "../../mod.ts";
import { linkTypeOf } from "../../src/link/link_type.ts";
import { parsePacket } from "../../src/packet/mod.ts";
import { readRecording } from "../../src/receive/recording.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { collectors, runAlone } from "../export/collectors.ts";
import { TOOLS } from "../run/project.ts";
import { COMMAND } from "../support/command.ts";
import { inDirectory } from "../support/directory.ts";
import { filesOn } from "../support/pages.ts";
import { commandsIn } from "../support/readme.ts";
import { npmPackage } from "../support/programs.ts";
import { pieces } from "../support/reading.ts";

const files = filesOn("docs/scale.md");
/** What is sent: several rates, devices, groups and hosts. */
const RECORDINGS = ["rate100.new", "two-groups.new", "forward.new", "tun.new", "vxlan4.new", "mixed.new"].map((name) =>
  new URL(`../golden/${name}.pcap`, import.meta.url).pathname
);

/** What is sent. */
interface Sent {
  readonly source: string | undefined;
  /** Whether the IP header is whole: pmacct reads no others. */
  readonly hasHeader: boolean;
  readonly bytes: number;
  readonly oneIn: number;
  readonly isFrame: boolean;
}

async function sent(): Promise<Sent[]> {
  const all: Sample[] = [];
  for (const path of RECORDINGS) {
    await using source = await readRecording(pieces(new Uint8Array(readFileSync(path))));
    for await (const batch of source.lentBatches()) {
      for (const entry of batch.entries) if (entry.type === "sample") all.push(entry.copy());
    }
  }
  return all.map(({ data = new Uint8Array(0), originalBytes = 0, oneIn = 1, protocol }) => {
    const linkType = linkTypeOf(undefined, protocol, data);
    const { source, destination, protocol: ofIp } = parsePacket(data, linkType, originalBytes);
    const hasHeader = destination !== undefined && ofIp !== undefined;
    return { source, hasHeader, bytes: originalBytes, oneIn, isFrame: linkType === "ethernet" };
  });
}

/** A file of the page, with something else in the place of what must be there once. */
function file(name: string, ...changes: readonly (readonly [string, string])[]): string {
  let text = files.get(name) ?? "";
  assert(text !== "", `docs/scale.md has no ${name}`);
  for (const [from, to] of changes) {
    assertEquals(text.split(from).length, 2, `${name}: ${from}`);
    text = text.replace(from, () => to);
  }
  return text;
}

/** For scripts: waits until a command succeeds, as long as the process $1 lives. */
const WAITING = `
  set -u
  ip link set lo up
  cd "$1"; shift
  wait_for() { local process=$1; shift; until "$@" >/dev/null 2>&1; do kill -0 $process || { cat log >&2; exit 9; }; sleep 0.05; done; }`;

/** The sum of each source. */
function summed(all: readonly Sent[], value: (sample: Sent) => number): Map<string, number> {
  const sums = new Map<string, number>();
  for (const sample of all) {
    if (sample.source !== undefined) sums.set(sample.source, (sums.get(sample.source) ?? 0) + value(sample));
  }
  return sums;
}

test(
  "what pmacct writes to PostgreSQL, multiplied by the rates, is what was sent as sFlow",
  collectors("sfacctd", "initdb", "postgres", "psql"),
  inDirectory(async (path) => {
    const all = await sent();
    // Nobody waits for a minute here.
    const conf = file("/etc/pmacct/sfacctd.conf", ["sql_refresh_time[flows]: 60", "sql_refresh_time[flows]: 1"]);
    writeFileSync(path("sfacctd.conf"), conf);
    writeFileSync(path("sfacctd.sql"), file("/etc/pmacct/sfacctd.sql"));
    writeFileSync(path("top.sql"), file("top.sql"));
    const packets = all.reduce((sum, { oneIn }) => sum + oneIn, 0);
    // The server refuses to be root. Its only socket besides the loopback address of this namespace is in this directory.
    const script = `${WAITING}
      other() { unshare --user --map-user=1000 --map-group=1000 "$@"; }
      other initdb -D data -U postgres --auth-local=trust --auth-host=scram-sha-256 --no-sync >log 2>&1 || { cat log >&2; exit 8; }
      other postgres -D data -k "$PWD" -c listen_addresses=127.0.0.1 -c fsync=off >log 2>&1 & server=$!
      export PGHOST=$PWD PGUSER=postgres
      wait_for $server psql -c 'SELECT 1'
      psql -q -v ON_ERROR_STOP=1 <sfacctd.sql >&2 || exit 7
      export PGDATABASE=pmacct
      sfacctd -f sfacctd.conf >log 2>&1 & collector=$!
      wait_for $collector grep -q :18C7 /proc/net/udp /proc/net/udp6
      "$@" >&2 || exit 6
      is_stored() { [ "$(psql -Atc 'SELECT sum(packets) FROM flows')" = ${packets} ]; }
      wait_for $collector is_stored
      psql -At -f top.sql
      exit 0`;
    const words = RECORDINGS.flatMap((recording) => ["--from", recording]);
    const send = [...COMMAND, "export", ...words, "--speed", "max", "--sflow", "127.0.0.1", "--agent", "192.0.2.77"];
    const rows = runAlone(script, [path(""), ...send]).trim().split("\n").map((row) => row.split("|"));
    // sFlow's length of a frame includes its check sequence.
    const whole = all.filter(({ hasHeader }) => hasHeader);
    const bytes = summed(whole, (sample) => sample.oneIn * (sample.bytes + (sample.isFrame ? 4 : 0)));
    const counts = summed(whole, (sample) => sample.oneIn);
    const stored = new Map(rows.map(([source, ...numbers]) => [source!, numbers.map(Number)]));
    assert(bytes.size >= 3 && bytes.size < 10);
    for (const [source, sum] of bytes) assertEquals(stored.get(source), [sum, counts.get(source)!, 1], source);
  }),
);

/** A server that keeps everything in one directory. Debian's settings name the directories of an installation. */
const clickhouse = (directory: string): string =>
  `<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>9000</tcp_port>
  <http_port>8123</http_port>
  <mark_cache_size>5368709120</mark_cache_size>
  <path>${directory}/data/</path>
  <tmp_path>${directory}/tmp/</tmp_path>
  <user_files_path>${directory}/files/</user_files_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
</yandex>`;
const CLICKHOUSE_USERS = `<yandex>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
  </default></users>
</yandex>`;

/** The columns that are inserted, with their types. */
const COLUMNS = [...file("psample.sql").matchAll(/^ {4}`?([\w.]+)`? (\S+?),?$/gm)].map(([, name, type]) => [name!, type!] as const);

/** The page drops a day by this command; the recordings are of other days. */
const [, DROP_DAY, DAY] = /^`(ALTER TABLE psample DROP PARTITION '([\d-]+)')`/m.exec(
  readFileSync(new URL("../../docs/scale.md", import.meta.url), "utf8"),
) as unknown as [string, string, string];

/** What a column holds if the key is absent. */
function nothing(type: string): string {
  return type.startsWith("Nullable") ? "null" : type === "String" ? "" : "0";
}

/** An object with the keys of the objects in it, after a dot. */
function flattened(value: Record<string, unknown>, prefix = ""): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) =>
      one instanceof Object && !Array.isArray(one)
        ? Object.entries(flattened(one as Record<string, unknown>, `${prefix}${key}.`))
        : [[prefix + key, one]]
    ),
  );
}

/** Words that start a script with a server of ClickHouse in this directory. */
function withClickhouse(path: (name: string) => string, script: string): string {
  writeFileSync(path("config.xml"), clickhouse(path("")));
  writeFileSync(path("users.xml"), CLICKHOUSE_USERS);
  return `${WAITING}
    clickhouse-server --config-file="$PWD/config.xml" >log 2>&1 & server=$!
    wait_for $server clickhouse-client --query 'SELECT 1'
    ${script}`;
}

test(
  "what ClickHouse stores of JSON is what was read, and the query scales it and says how far off it may be",
  collectors("clickhouse-server", "clickhouse-client"),
  inDirectory(async (path) => {
    const all = await sent();
    writeFileSync(path("psample.sql"), file("psample.sql"));
    // The recordings are older.
    writeFileSync(path("top.sql"), file("top-clickhouse.sql", ["now() - 3600", "0"]));
    for (const [name, code] of [["psample", `#!/bin/bash\nexec ${COMMAND.join(" ")} "$@"\n`], ["run", file("psample-to-clickhouse")]]) {
      writeFileSync(path(name!), code!);
      chmodSync(path(name!), 0o755);
    }
    const script = `
      clickhouse-client --multiquery <psample.sql >&2 || exit 8
      CLICKHOUSE_HOST=192.0.2.1 PATH=$PWD:$PATH run read "$1" >/dev/null 2>&1 && exit 6
      for recording; do CLICKHOUSE_HOST=127.0.0.1 PATH=$PWD:$PATH run read "$recording" >&2 || exit 7; done
      clickhouse-client <top.sql
      clickhouse-client --query 'SELECT * FROM psample FORMAT JSONEachRow' >stored
      days() { clickhouse-client --query 'SELECT toDate(time) AS day, count() FROM psample GROUP BY day ORDER BY day'; }
      days >before
      clickhouse-client --query "${DROP_DAY.replace(DAY, "$(head -n 1 before | cut -f 1)")}" >&2 || exit 5
      days >after`;
    const top = runAlone(withClickhouse(path, script), [path(""), ...RECORDINGS]).trim().split("\n").map((row) => row.split("\t"));
    const bytes = summed(all, ({ bytes, oneIn }) => bytes * oneIn);
    const variance = summed(all, ({ bytes, oneIn }) => bytes * bytes * oneIn * (oneIn - 1));
    const counts = summed(all, () => 1);
    const answers = new Map(top.map(([source, ...numbers]) => [source!, numbers.map(Number)]));
    assert(bytes.size >= 3);
    for (const [source, sum] of bytes) {
      assertEquals(answers.get(source), [sum, Math.round(1.96 * Math.sqrt(variance.get(source)!)), counts.get(source)!], source);
    }
    const rows = readFileSync(path("stored"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
    const { host } = rows[0]!;
    const lines: string[] = [];
    for (const recording of RECORDINGS) {
      const io = fakeIo();
      assertEquals(await main(["read", recording, "--json", "--details"], io), 0);
      lines.push(...io.text().trim().split("\n"));
    }
    const samples = lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ type }) => type === "sample");
    const row = (value: (column: string) => unknown): string => COLUMNS.map(([name, type]) => `${value(name) ?? nothing(type)}`).join(" ");
    const expected = samples.map((sample) => {
      const flat: Record<string, unknown> = { ...flattened(sample), host };
      return row((column) => flat[column]);
    });
    assertEquals(rows.map((stored) => row((column) => stored[column])).sort(), expected.sort());
    // Only the first day is gone.
    assertEquals(readFileSync(path("after"), "utf8"), readFileSync(path("before"), "utf8").replace(/^.*\n/, ""));
  }),
);

test("the columns are documented keys of JSON", () => {
  const page = readFileSync(new URL("../../docs/json.md", import.meta.url), "utf8");
  const keys = page.split(/^## /m).flatMap((section) => {
    const heading = /^(A sample|`packet`|`tunnel`)\n/.exec(section)?.[1];
    const prefixes = heading === "A sample" ? [""] : heading === "`packet`" ? ["packet.", "packet.inner."] : heading ? ["tunnel."] : [];
    return prefixes.flatMap((prefix) => [...section.matchAll(/^\| `(\w+)` /gm)].map(([, key]) => prefix + key));
  });
  assertEquals(COLUMNS.map(([name]) => name).filter((name) => name !== "host" && !keys.includes(name)), []);
});

test(
  "the table, the view and the query for goflow2's messages scale them",
  collectors("clickhouse-server", "clickhouse-client"),
  inDirectory((path) => {
    const tables = file("goflow2.sql").replace(/ENGINE = Kafka\(\)\nSETTINGS [^;]+;/, "ENGINE = Null;");
    assert(tables.includes("ENGINE = Null;"));
    writeFileSync(path("tables.sql"), tables);
    writeFileSync(path("top.sql"), file("top-goflow2.sql"));
    const address = (digits: string): string => `toFixedString(unhex('${digits}'), 16)`;
    const insert = (digits: string, etype: number, rate: number, bytes: number, agent: string): string =>
      `INSERT INTO flows_queue SELECT toUInt64(toUnixTimestamp(now())) * 1000000000, ${rate}, ${address(agent)}, 2, 3, ${etype}, ` +
      `${address(digits)}, ${address("c0000263")}, 6, 443, 40000, ${bytes};`;
    writeFileSync(
      path("rows.sql"),
      [
        insert("c0000201", 0x0800, 1000, 1500, "0a000001"),
        insert("c0000201", 0x0800, 100, 64, "0a000002"),
        insert("20010db8000000000000000000000001", 0x86dd, 400, 9000, "0a000001"),
      ].join("\n"),
    );
    const script = `
      for part in tables rows; do clickhouse-client --multiquery <$part.sql >&2 || exit 8; done
      clickhouse-client <top.sql`;
    assertEquals(
      runAlone(withClickhouse(path, script), [path("")]),
      "2001:db8::1\t3600000\t400\t1\n192.0.2.1\t1506400\t1100\t2\n",
    );
  }),
);

/** Numbers and types of the fields of goflow2's messages: pb/flow.proto of goflow2 2.2.5. */
const GOFLOW2: Record<string, readonly [number, "uint32" | "uint64" | "bytes"]> = {
  sampling_rate: [3, "uint64"],
  sequence_num: [4, "uint32"],
  src_addr: [6, "bytes"],
  dst_addr: [7, "bytes"],
  bytes: [9, "uint64"],
  packets: [10, "uint64"],
  sampler_address: [11, "bytes"],
  in_if: [18, "uint32"],
  out_if: [19, "uint32"],
  proto: [20, "uint32"],
  src_port: [21, "uint32"],
  dst_port: [22, "uint32"],
  etype: [30, "uint32"],
  time_received_ns: [110, "uint64"],
};
/** The types that the table has for them; addresses of IPv4 are padded. */
const COLUMN_TYPES = { uint32: "UInt32", uint64: "UInt64", bytes: "FixedString(16)" };

/** A number in base 128, the lowest part first. */
function varint(value: bigint): number[] {
  return value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)];
}

test("the fields of a message of goflow2 are read by flow.proto, and they are the columns of the table", npmPackage("protobufjs"), () => {
  interface Decoded {
    readonly [name: string]: unknown;
  }
  interface Type {
    decode(bytes: Uint8Array): Decoded;
    toObject(message: Decoded, options: { longs: typeof String }): Decoded;
    readonly fieldsArray: readonly { readonly name: string; readonly type: string }[];
  }
  const { parse } = createRequire(join(TOOLS, "package.json"))("protobufjs") as {
    parse(text: string, options: { keepCase: boolean }): { root: { lookupType(name: string): Type } };
  };
  const type = parse(file("flow.proto"), { keepCase: true }).root.lookupType("FlowMessage");
  const [queue] = /^CREATE TABLE flows_queue\n\(.*?^\)/ms.exec(file("goflow2.sql"))!;
  const columns = [...queue.matchAll(/^ {4}(\w+) (.+?),?$/gm)].map(([, name, type]) => [name!, type!]).sort();
  const known = type.fieldsArray.map(({ name, type }) => [name, COLUMN_TYPES[type as keyof typeof COLUMN_TYPES]]).sort();
  assertEquals(known, columns);
  // A message by hand: all fields, also those that flow.proto leaves out.
  const value = (number: number): bigint => 1n << 33n | BigInt(number);
  const message = Object.values(GOFLOW2).flatMap(([number, type]) =>
    type === "bytes"
      ? [...varint(BigInt(number << 3 | 2)), 4, 192, 0, 2, number]
      : [...varint(BigInt(number << 3)), ...varint(type === "uint64" ? value(number) : BigInt(number))]
  );
  const read = type.toObject(type.decode(Uint8Array.from(message)), { longs: String });
  for (const [name] of columns) {
    const [number, type] = GOFLOW2[name!]!;
    const found = read[name!];
    if (type === "bytes") assertEquals([...found as Uint8Array], [192, 0, 2, number], name);
    else assertEquals(String(found), String(type === "uint64" ? value(number) : number), name);
  }
});

test("the commands are ones that psample takes", async () => {
  const commands = commandsIn("docs/scale.md").flat().flatMap((line) => /^psample(?:-to-clickhouse)? (.*)$/.exec(line)?.[1] ?? []);
  assertEquals(commands.length, 3);
  for (const command of commands) {
    const io = fakeIo();
    // Nothing is sampled here, and there may be no device but this.
    const words = command.replace(" any ", " lo ").split(" ");
    assertEquals(await main([...words, "--match", "ip", "--explain"], io), 0, `${command}: ${io.errors()}`);
  }
});
