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

/** What the documentation is divided into. */
const CATEGORIES = [
  "Command",
  "Devices",
  "Diagnosis",
  "Errors",
  "Estimates",
  "Export",
  "Filters",
  "Formats",
  "Injecting",
  "Network namespaces",
  "Packets",
  "Privileges",
  "Pump",
  "Receiving",
  "Recordings",
  "Samples",
  "Sampling",
];

test("every symbol of every entry point is in a category", needs, async () => {
  const found = (await publicFace()).flatMap(({ entry, name, declarations }) =>
    declarations.map((declaration) => ({
      what: `${placeOf(declaration)}: ${name} of ${entry}`,
      categories: (declaration.jsDoc?.tags ?? []).filter(({ kind }) => kind === "category").map(({ doc }) => doc!),
    }))
  );
  assert(found.length > 300, `${found.length}`);
  const offences = found.flatMap(({ what, categories }) => {
    if (categories.length !== 1) return [`${what} has ${categories.length} categories: give it one @category`];
    return CATEGORIES.includes(categories[0]!) ? [] : [`${what} is in "${categories[0]}", which is none of ${CATEGORIES.join(", ")}`];
  });
  assertEquals(offences, []);
  assertEquals(
    [...new Set(found.flatMap(({ categories }) => categories))].sort(),
    CATEGORIES,
    "the list has a category that nothing is in",
  );
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
