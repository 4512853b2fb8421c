/** What GitHub does with the files in `.github`: it runs CI, publishes tags, and shows forms. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "@std/yaml";
import { ROOT } from "../run/project.ts";
import { CONFIG } from "../run/release.ts";
import { programs } from "../support/programs.ts";
import { DENO } from "../support/published.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const WORKFLOWS = readdirSync(join(ROOT, ".github/workflows")).map((name) => `.github/workflows/${name}`);

interface Step {
  uses?: string;
  env?: Record<string, string>;
  run?: string;
  with?: Record<string, unknown>;
  "working-directory"?: string;
}
interface Job {
  uses?: string;
  environment?: string;
  needs?: string;
  "runs-on"?: string;
  "timeout-minutes"?: number;
  permissions?: Record<string, string>;
  steps?: Step[];
}
interface Workflow {
  on: Record<string, Record<string, unknown> | null>;
  permissions: Record<string, string>;
  jobs: Record<string, Job>;
}
const workflow = (path: string): Workflow => parse(read(path)) as Workflow;
const jobs = (): [path: string, job: Job][] =>
  WORKFLOWS.flatMap((path) => Object.values(workflow(path).jobs).map((job) => [path, job] as const))
    .map(([path, job]) => [path, job]);

test("CI runs .ci/run for every change, and before a release", () => {
  const { on, jobs } = workflow(".github/workflows/ci.yml");
  assertEquals(Object.keys(on).sort(), ["pull_request", "push", "workflow_call"]);
  assertEquals(Object.values(jobs).flatMap(({ steps }) => steps!.flatMap(({ run }) => run ?? [])).at(-1), ".ci/run");
  assert(existsSync(join(ROOT, ".ci/run")));
});

test("a tag is published after CI, by the identity of the workflow and by nothing else, and its files are a draft", () => {
  const { on, permissions, jobs } = workflow(".github/workflows/publish.yml");
  assertEquals(on, { push: { tags: ["v[0-9]*"] } });
  assertEquals(permissions, { contents: "read" });
  const { ci, jsr, files, ...others } = jobs;
  assertEquals(others, {});
  assertEquals(files!.needs, "ci");
  assertEquals(ci!.uses, "./.github/workflows/ci.yml");
  assertEquals(jsr!.needs, "ci");
  assertEquals(jsr!.permissions, { contents: "read", "id-token": "write" });
  assertEquals(jsr!.environment, "jsr");
  const [deno] = /npx --yes deno@[\d.]+/.exec(read(".ci/run"))!;
  assertEquals(jsr!.steps!.flatMap(({ run }) => run ?? []), [`${deno} task release --jsr --tag "$GITHUB_REF_NAME"`, `${deno} publish`]);
  assertEquals(jsr!.steps!.at(-1)!["working-directory"], "dist/release");
  // What it makes is a draft: somebody looks at the files before they are there for all.
  const [draft, make] = files!.steps!.flatMap(({ run }) => run ?? []).reverse();
  assertEquals(make, `${deno} task package`);
  assertEquals(files!.steps!.find(({ run }) => run === make)!.env, { PSAMPLE_MAINTAINER: "${{ vars.PSAMPLE_MAINTAINER }}" });
  assertMatch(draft!, /^gh release create "\$GITHUB_REF_NAME" --draft --verify-tag .* dist\/package\/\*$/);
});

test("no workflow has more rights than it needs, a secret, or text of others in its commands", () => {
  for (const path of WORKFLOWS) {
    const { permissions, jobs } = workflow(path);
    assertEquals(permissions, { contents: "read" }, path);
    const withToken = Object.entries(jobs).filter(([, { permissions }]) => permissions?.["id-token"] === "write").map(([name]) => name);
    assertEquals(withToken, path.endsWith("publish.yml") ? ["jsr"] : []);
    const writing = Object.entries(jobs).filter(([, { permissions }]) => permissions?.contents === "write").map(([name]) => name);
    assertEquals(writing, path.endsWith("publish.yml") ? ["files"] : []);
    // Titles of pull requests and names of branches would become part of the shell's input.
    for (const { run = "" } of Object.values(jobs).flatMap(({ steps = [] }) => steps)) assert(!run.includes("${{"), `${path}: ${run}`);
    assert(!/\bsecrets\b/.test(read(path)), path);
  }
  for (const [path, { uses, "timeout-minutes": minutes }] of jobs()) assert(uses !== undefined || minutes! > 0, path);
});

test("actions are pinned by their commits, with the version beside it, and keep no password", () => {
  for (const path of WORKFLOWS) {
    for (const [line, uses] of read(path).matchAll(/^.*\buses: +(\S+).*$/gm)) {
      if (uses!.startsWith("./")) assert(existsSync(join(ROOT, uses!)), `${path}: ${uses}`);
      else assertMatch(line, /@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, path);
    }
  }
  const checkouts = jobs().flatMap(([, { steps = [] }]) => steps).filter(({ uses }) => uses?.startsWith("actions/checkout@"));
  assertEquals(checkouts.map((step) => step.with), checkouts.map(() => ({ "persist-credentials": false })));
  assert(checkouts.length > 0);
});

const release = (...words: string[]): { status: number | null; stdout: string } =>
  spawnSync(DENO, ["run", "-A", "--no-check", "test/run/release.ts", ...words], { cwd: ROOT, encoding: "utf8" });

test("a tag of another version is refused before anything is made", programs(DENO), () => {
  const { status, stdout } = release("--tag", "v999.0.0");
  assertEquals(status, 1);
  assertStringIncludes(
    stdout,
    `release: the tag is v999.0.0, but deno.json has version ${CONFIG.version}: the tag of that is v${CONFIG.version}\n`,
  );
});

test("an option that does not exist is refused with the usage", programs(DENO), () => {
  const { status, stderr } = spawnSync(DENO, ["run", "-A", "--no-check", "test/run/release.ts", "--publish"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  assertEquals(status, 2);
  assertStringIncludes(stderr, "usage: deno task release [--tag v1.2.3] [--jsr]");
});

// https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests/syntax-for-githubs-form-schema
interface Field {
  type: string;
  id?: string;
  attributes: { label?: string; value?: string; description?: string; render?: string; placeholder?: string };
  validations?: { required?: boolean };
}
interface Form {
  name: string;
  description: string;
  labels: string[];
  body: Field[];
}

for (const name of ["bug.yml", "feature.yml"]) {
  test(`the form ${name} is one that GitHub shows`, () => {
    const form = parse(read(`.github/ISSUE_TEMPLATE/${name}`)) as Form;
    assertEquals(Object.keys(form).sort(), ["body", "description", "labels", "name"]);
    const fields = form.body.filter(({ type }) => type !== "markdown");
    assertEquals(new Set(fields.map(({ id }) => id)).size, fields.length);
    assertEquals(new Set(fields.map(({ attributes }) => attributes.label)).size, fields.length);
    for (const { type, id, attributes, validations = {} } of fields) {
      assert(["textarea", "input"].includes(type), type);
      assertMatch(id!, /^[a-zA-Z0-9_-]+$/);
      const known = ["label", "description", "placeholder", ...type === "textarea" ? ["render", "value"] : []];
      assertEquals(Object.keys(attributes).filter((key) => !known.includes(key)), []);
      assert(attributes.label);
      assertEquals(Object.keys(validations).filter((key) => key !== "required"), []);
    }
    for (const { attributes } of form.body.filter(({ type }) => type === "markdown")) assertEquals(Object.keys(attributes), ["value"]);
    assert(fields.some(({ validations }) => validations?.required));
  });
}

test("vulnerabilities are not reported by a form without fields", () => {
  assertEquals(parse(read(".github/ISSUE_TEMPLATE/config.yml")), { blank_issues_enabled: false });
  assertStringIncludes(read("SECURITY.md"), "## Reporting");
});
