/** Shared sample actions, and refusals about sampling: their messages, and that nothing is left half done. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { main } from "../../cli/main.ts";
import {
  type Action,
  addAction,
  addSampling,
  deleteAction,
  flushActions,
  getAction,
  listActions,
  NetlinkError,
  replaceAction,
  type SamplingOptions,
} from "../../mod.ts";
import { fromHex, toHex } from "../../src/wire/text.ts";
import { fakeIo } from "../cli/fake_io.ts";
import { ending, openDirectory, script, WITHOUT_PRIVILEGE } from "./runtime.ts";
import { ip, run, scene, tc, until } from "./scene.ts";
import { type TcAction, tcActions, tcControl, tcDump, tcShow } from "./tc_dump.ts";

/** The actions as iproute2 lists them, without times. */
function actionsOfTc(): TcAction[] {
  // One list for each message of the dump, each after its count.
  const lists = tcShow(["actions list action sample"], "-s")[0] as { actions?: TcAction[] }[];
  return lists.flatMap(({ actions }) => actions ?? []).map(
    ({ kind, rate, group, trunc_size, control_action, index, ref, bind, cookie, stats }) => {
      const { packets, bytes } = stats!;
      return { order: 0, kind, rate, group, trunc_size, control_action, index, ref, bind, cookie, stats: { packets, bytes } } as TcAction;
    },
  );
}

/** Ours in the same words. */
function inWordsOfTc(actions: readonly (Action | undefined)[]): TcAction[] {
  return actions.map((action) => {
    const { kind, cookie, stats } = action!;
    const { rate, group, truncateBytes, control, index, referenceCount, bindCount } = action!.sample!;
    const counted = { packets: Number(stats!.packets), bytes: Number(stats!.bytes) };
    return {
      order: 0,
      kind,
      rate,
      group,
      trunc_size: truncateBytes,
      control_action: tcControl(control),
      index,
      ref: referenceCount,
      bind: bindCount,
      cookie: cookie && toHex(cookie),
      stats: counted,
    } as TcAction;
  });
}

/** Creates the device `d0`; returns what tc shows of it. */
function dummy(): string {
  ip("link add name d0 type dummy", "link set dev d0 up");
  return tcDump("d0");
}

scene("add, get, replace, delete: iproute2 reads each back", async () => {
  dummy();
  const cookie = fromHex("00112233445566778899aabbccddeeff")!;
  const made = [
    await addAction({ sample: { rate: 100, group: 6, index: 19 }, cookie }),
    await addAction({ sample: { rate: 4294967295, group: 4294967295, truncateBytes: 0, control: "pass" } }),
    await addAction({ sample: { rate: 1, group: 0, truncateBytes: 4294967295, index: 4294967294, control: { gotoChain: 1 } } }).catch((
      error,
    ) => error),
    await addAction({ sample: { rate: 2, group: 5, control: { jump: 1 }, index: 7 }, cookie: cookie.slice(0, 1) }),
  ];
  // A chain takes a filter to be in.
  assertEquals((made.splice(2, 1)[0] as NetlinkError).code, "EINVAL");
  const sorted = (actions: TcAction[]): TcAction[] => actions.sort((a, b) => a.index - b.index);
  assertEquals(sorted(inWordsOfTc(made as Action[])), sorted(actionsOfTc()));
  assertEquals(inWordsOfTc(await listActions()), actionsOfTc());
  assertEquals(inWordsOfTc([await getAction(19)]), actionsOfTc().filter(({ index }) => index === 19));

  // What is absent stays: the kernel's rule.
  await replaceAction({ sample: { rate: 50, group: 6, index: 19, truncateBytes: 64 } });
  const replaced = await replaceAction({ sample: { rate: 51, group: 7, index: 19, control: "continue" } });
  const { rate, group, truncateBytes, control } = replaced!.sample!;
  assertEquals([rate, group, truncateBytes, control, toHex(replaced!.cookie!)], [51, 7, 64, "continue", toHex(cookie)]);
  assertEquals(inWordsOfTc([replaced]), actionsOfTc().filter(({ index }) => index === 19));
  // A missing action is created.
  await replaceAction({ sample: { rate: 3, group: 8, index: 20 } });
  assertEquals(inWordsOfTc(await listActions()), actionsOfTc());
  await deleteAction(19);
  assertEquals(actionsOfTc().map(({ index }) => index).sort(), [made[1]!.sample!.index, 20, 7].sort());
  await flushActions();
  assertEquals([await listActions(), actionsOfTc()], [[], []]);
});

scene("a hundred actions are listed completely; flush removes those that no filter uses", async () => {
  dummy();
  tc(
    ...Array.from(
      { length: 100 },
      (_, i) => `actions add action sample rate ${i + 1} group ${i} index ${1000 + i} cookie ${(100 + i).toString(16)}`,
    ),
    "qdisc add dev d0 clsact",
    ...[1000, 1050, 1099].map((index) => `filter add dev d0 ingress matchall action sample index ${index}`),
  );
  const listed = await listActions();
  assertEquals(listed.length, 100);
  assertEquals(inWordsOfTc(listed), actionsOfTc());
  await flushActions();
  assertEquals((await listActions()).map(({ index, sample }) => [index ?? sample!.index, sample!.bindCount]), [[1000, 1], [1050, 1], [
    1099,
    1,
  ]]);
  assertEquals(inWordsOfTc(await listActions()), actionsOfTc());
});

/** Each refusal has a code and these words, and leaves everything as it was. */
async function refused(
  attempts: readonly [what: string, attempt: () => Promise<unknown>, code: string, ...words: RegExp[]][],
): Promise<void> {
  const [before, actions] = [tcDump("d0"), tcActions()];
  for (const [what, attempt, code, ...words] of attempts) {
    const error: Error & { code?: string } = await assertRejects(attempt, Error, undefined, what);
    assertEquals(error.code ?? error.name, code, `${what}: ${error.message}`);
    for (const word of words) assert(word.test(error.message), `${what}: ${error.message}`);
  }
  assertEquals([tcDump("d0"), tcActions()], [before, actions]);
}

scene("refusals about filters: the cause, the cure, and nothing half installed", async () => {
  dummy();
  tc("actions add action sample rate 4 group 6 index 19 cookie aa");
  const add = (options: Partial<SamplingOptions>) => () => addSampling({ device: "d0", direction: "both", rate: 1, ...options });
  await refused([
    ["rate 0", add({ rate: 0 }), "ArgumentError", /rate must be a whole number from 1 to 4294967295, not 0/],
    ["no rate", add({ rate: undefined }), "ArgumentError", /rate is required/],
    ["rate 2**32", add({ rate: 2 ** 32 }), "ArgumentError", /not 4294967296/],
    ["unknown device", add({ device: "nosuch" }), "ENODEV", /find the device nosuch: no such device/, /See ip link/],
    ["unknown number", add({ device: 999 }), "ENODEV", /find the device 999/, /See ip link/],
    ["16 characters", add({ device: "abcdefghijklmnop" }), "ENODEV", /abcdefghijklmnop/, /Names have up to 15 bytes/],
    [
      "index in use",
      add({ index: 19 }),
      "EEXIST",
      /sample action 19: file exists/,
      /rate 4, group 6/,
      /Choose another index, or pass only the index to share it/,
    ],
    ["index not there", add({ rate: undefined, index: 77 }), "ENOENT", /sample action 77/, /give a rate and a group/],
    ["sharing and changing", add({ rate: undefined, index: 19, truncateBytes: 5 }), "ArgumentError", /leave out truncateBytes/],
    ["sharing with a cookie", add({ rate: undefined, index: 19, cookie: new Uint8Array(1) }), "ArgumentError", /leave out cookie/],
    ["a cookie too long", add({ cookie: new Uint8Array(17) }), "ArgumentError", /cookie must be 1 to 16 bytes long, not 17/],
    ["no such direction", add({ direction: "up" as "both" }), "ArgumentError", /"ingress", "egress" or "both"/],
    ["a match about samples", add({ match: "rate > 5" }), "FilterError", /only samples have this/],
    ["hardware", add({ hardware: "only" }), "EOPNOTSUPP", /leave out hardware/],
    [
      "hardware for a program",
      add({ hardware: "only", match: "not arp" }),
      "EOPNOTSUPP",
      /No hardware runs this match.*flower has no "not"/,
    ],
    ["a jump too far", add({ control: { jump: 2 ** 28 } }), "ArgumentError", /jump: 268435456/],
  ]);
});

scene("refusals about actions: the cause, and the cure", async () => {
  dummy();
  tc(
    "actions add action sample rate 4 group 6 index 19",
    "qdisc add dev d0 clsact",
    "filter add dev d0 egress matchall action sample index 19",
  );
  await refused([
    [
      "rate 0",
      () => addAction({ sample: { rate: 0, group: 1 } }),
      "ArgumentError",
      /rate must be a whole number from 1 to 4294967295, not 0/,
    ],
    ["group missing", () => addAction({ sample: { rate: 1 } }), "ArgumentError", /rate and group are required/],
    ["group missing in a replace", () => replaceAction({ sample: { rate: 1, index: 19 } }), "ArgumentError", /rate and group are required/],
    ["which to replace", () => replaceAction({ sample: { rate: 1, group: 1 } }), "ArgumentError", /index is required/],
    [
      "index in use",
      () => addAction({ sample: { rate: 1, group: 1, index: 19 } }),
      "EEXIST",
      /sample action 19/,
      /another index, or replace/,
    ],
    ["a bound action", () => deleteAction(19), "EPERM", /sample action 19/, /A filter uses it: remove that first/],
    ["no such action", () => deleteAction(77), "ENOENT", /sample action 77/],
    ["no such action to get", () => getAction(77), "ENOENT", /sample action 77/],
    ["index 0", () => deleteAction(0), "ArgumentError", /index must be a whole number from 1 to 4294967295, not 0/],
  ]);
});

scene("psample tc refuses what tc refuses: a chain out of range, and what the kernel rejects", async () => {
  dummy();
  tc(
    "qdisc add dev d0 clsact",
    "actions add action sample rate 4 group 6 index 19",
    "filter add dev d0 egress matchall action sample index 19",
  );
  const before = tcDump("d0");
  const filter = "filter add dev d0 ingress";
  const lines: [string, RegExp][] = [
    [`${filter} chain 4294967296 matchall action sample rate 1 group 1`, /chain/i],
    [`${filter} chain 268435456 matchall action sample rate 1 group 1`, /Specified chain index exceeds upper limit/],
    [`${filter} matchall action sample rate 0 group 1`, /rate/i],
    [`${filter} matchall action sample rate 1`, /group/i],
    [`${filter} matchall action sample rate 4294967296 group 1`, /rate/i],
    ["filter add dev nosuch ingress matchall action sample rate 1 group 1", /nosuch/],
    ["filter add dev abcdefghijklmnop ingress matchall action sample rate 1 group 1", /abcdefghijklmnop|name/],
    ["actions add action sample rate 1 group 1 index 19", /File exists/],
    ["actions del action sample index 19", /Failed to delete TC action/],
  ];
  for (const [line, said] of lines) {
    const io = fakeIo();
    const status = await main(["tc", ...line.split(" ")], io);
    assert(said.test(io.errors()), `${line}: ${io.errors()}`);
    assertEquals(status, spawnSync("tc", line.split(" ")).status, line);
  }
  assertEquals(tcDump("d0"), before);
  assertEquals((await listActions()).length, 1);
});

scene("without privilege everything can be listed, and nothing changed", "program:setpriv", async () => {
  dummy();
  tc(
    "qdisc add dev d0 clsact",
    "filter add dev d0 ingress pref 1 handle 0x70738123 matchall action sample rate 4 group 6 index 19",
    "actions add action sample rate 4 group 6 index 20",
  );
  const [before, actions] = [tcDump("d0"), tcActions()];
  const home = openDirectory();
  try {
    const words = [...WITHOUT_PRIVILEGE, ...script("test/kernel/unprivileged_sampling.ts")];
    const { status, out, err } = await ending(words, { HOME: home, DENO_DIR: `${home}/deno` });
    assertEquals([status, err], [0, ""]);
    const { samplings, leftovers, actions, attempts } = JSON.parse(out);
    assertEquals(samplings, [["d0", "ingress", 4, 6, 19], [null, null, 4, 6, 20]]);
    assertEquals(leftovers, 1);
    assertEquals(actions, [19, 20]);
    assertEquals(Object.keys(attempts), [
      "addSampling",
      "addSampling on lo",
      "addAction",
      "replaceAction",
      "deleteAction",
      "flushActions",
      "cleanUpSampling",
    ]);
    for (const [what, [code, message]] of Object.entries(attempts) as [string, string[]][]) {
      assertEquals(code, "EPERM", what);
      assert(message!.includes("requires CAP_NET_ADMIN in this network namespace: run as root"), `${what}: ${message}`);
    }
  } finally {
    run("rm", ["-r", home]);
  }
  assertEquals([tcDump("d0"), tcActions()], [before, actions]);
});

scene("a kernel without act_sample: the message names the module, and the clsact is removed again", "guest", async () => {
  const before = dummy();
  // Loads the other modules for sampling, which no scene before this one may have done.
  await (await addSampling({ device: "d0", rate: 1 })).remove();
  const loader = "/proc/sys/kernel/modprobe";
  const modprobe = readFileSync(loader, "utf8");
  await until("act_sample is unloaded", () => spawnSync("modprobe", ["-r", "act_sample"]).status === 0);
  writeFileSync(loader, "/bin/false");
  try {
    for (
      const attempt of [() => addSampling({ device: "d0", direction: "both", rate: 1 }), () => addAction({ sample: { rate: 1, group: 1 } })]
    ) {
      const error = await assertRejects(attempt, NetlinkError);
      assertEquals(error.code, "ENOENT");
      assert(error.message.includes("modprobe act_sample (CONFIG_NET_ACT_SAMPLE)"), error.message);
      assertEquals(tcDump("d0"), before);
    }
  } finally {
    writeFileSync(loader, modprobe);
    run("modprobe", ["act_sample"]);
  }
});
