/** What users see of the package, by `deno doc`: what they need, and nothing of how it works. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { programs } from "../support/programs.ts";
import { DENO } from "../support/published.ts";
import { placeOf, publicFace } from "../support/public_face.ts";

const needs = { ...programs(DENO), timeout: 120_000 };

test("the headers of a packet are shown without the walk that finds them", needs, async () => {
  const symbols = (await publicFace()).filter(({ name }) => ["Headers", "PacketView"].includes(name));
  const members = symbols.flatMap(({ name, declarations }) =>
    declarations.flatMap(({ def }) => [...def?.properties ?? [], ...def?.methods ?? []].map((member) => `${name}.${member.name}`))
  );
  assertEquals(members.sort(), [
    "Headers.available",
    "Headers.broken",
    "Headers.bytes",
    "Headers.count",
    "Headers.cut",
    "Headers.deeper",
    "Headers.end",
    "Headers.find",
    "Headers.kinds",
    "Headers.offsets",
    "Headers.originalBytes",
    "Headers.payload",
    "Headers.stack",
    "Headers.start",
    "PacketView.decode",
  ]);
});

test("a class shows nothing of one that is not public", needs, async () => {
  const symbols = await publicFace();
  assert(symbols.length > 200, `${symbols.length}`);
  const known = new Set(["Error", ...symbols.map(({ name }) => name)]);
  const offences = symbols.flatMap(({ name, declarations }) =>
    declarations.filter(({ kind, def }) => kind === "class" && def?.extends && !known.has(def.extends))
      .map((declaration) => `${placeOf(declaration)}: ${name} extends ${declaration.def!.extends}, which no entry point exports`)
  );
  assertEquals(offences, []);
});
