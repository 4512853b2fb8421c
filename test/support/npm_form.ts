/**
 * The npm form of a package on JSR: what `bunx jsr add` and `npx jsr add` install, and so what users of Bun and Node get.
 *
 * JSR makes it in api/src/npm/ of its source: beside each TypeScript file the same as JavaScript, declarations in `_dist/`, specifiers of
 * files with the extension of what they are now, and those of packages on JSR as `@jsr/SCOPE__NAME`. `deno pack` transpiles and makes
 * declarations by the same code as JSR (deno_ast and deno_graph); what differs is where they are put. The maps of the sources are left out.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { deno } from "../run/release.ts";
import type { JsrPackage } from "./jsr_registry.ts";
import { untar } from "./tar.ts";

/** The name of a package of JSR in its npm form: `@jsr/std__text` for `@std/text`. */
export function npmName(name: string): string {
  return `@jsr/${name.slice(1).replace("/", "__")}`;
}

/** Replaces the specifiers of imports and exports, those of `import()` included. */
function rewrite(code: string, specifierOf: (specifier: string) => string): string {
  return code.replace(
    /(\bfrom\s+|\bimport\s*\(?\s*)"([^"\n]+)"/g,
    (_, before: string, specifier: string) => `${before}${JSON.stringify(specifierOf(specifier))}`,
  );
}

/** `jsr:@std/text@^1.0.0/closest-string`, in its parts; `deno publish` writes it with a slash after the colon. */
const JSR_SPECIFIER = /^jsr:\/?(@[^/]+\/[^@/]+)(?:@([^/]+))?(\/.*)?$/;

/** A specifier as JSR writes it: a file by the extension that it has there, a package of JSR by its name on npm. */
function npmSpecifier(specifier: string): string {
  const [, name, , rest = ""] = JSR_SPECIFIER.exec(specifier) ?? [];
  if (name !== undefined) return `${npmName(name)}${rest}`;
  return /^\.\.?\//.test(specifier) ? specifier.replace(/\.ts$/, ".js") : specifier;
}

/** The packages of JSR that the sources of a package import, with the versions that they ask for. */
function dependenciesOf({ files }: JsrPackage): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [path, bytes] of files) {
    if (!/\.[jt]s$/.test(path)) continue;
    for (const [, specifier] of new TextDecoder().decode(bytes).matchAll(/\bfrom\s+"(jsr:[^"\n]+)"/g)) {
      const [, name, version = "*"] = JSR_SPECIFIER.exec(specifier!) ?? [];
      found[npmName(name!)] = version;
    }
  }
  return found;
}

function put(directory: string, path: string, content: string | Uint8Array): void {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** Where Deno and JSR's stand-in are. */
export interface Packer {
  /** The program `deno`. */
  program: string;
  /** The address of the stand-in. */
  jsr: string;
  /** The directory of Deno's cache. */
  cache: string;
}

/** Installs the npm form of a package below `node_modules`, and returns its directory. */
export async function installNpmForm(published: JsrPackage, nodeModules: string, packer: Packer): Promise<string> {
  const directory = join(nodeModules, npmName(published.name));
  const hasTypeScript = [...published.files.keys()].some((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
  for (const [path, bytes] of published.files) {
    const isSource = path.endsWith(".ts") && !path.endsWith(".d.ts");
    put(directory, path, isSource ? rewrite(new TextDecoder().decode(bytes), npmSpecifier) : bytes);
  }
  if (hasTypeScript) {
    for (const [path, bytes] of await packed(published, packer)) {
      const code = rewrite(new TextDecoder().decode(bytes), npmSpecifier);
      if (path.endsWith(".d.ts")) put(directory, `_dist/${path}`, code);
      else if (path.endsWith(".js")) put(directory, path, code);
    }
  }
  const exports = Object.entries(published.exports).map(([entry, file]) => {
    const types = hasTypeScript ? file.replace(/^\.\/(.*)\.ts$/, "./_dist/$1.d.ts") : file.replace(/\.js$/, ".d.ts");
    return [entry, { types, default: file.replace(/\.ts$/, ".js") }];
  });
  const { version } = published;
  const dependencies = dependenciesOf(published);
  const manifest = { name: npmName(published.name), version, type: "module", dependencies, exports: Object.fromEntries(exports) };
  put(directory, "package.json", JSON.stringify(manifest, null, 2));
  return directory;
}

/** The files that `deno pack` makes of the published ones. */
async function packed(published: JsrPackage, { program, jsr, cache }: Packer): Promise<Map<string, Uint8Array>> {
  const sources = mkdtempSync(join(tmpdir(), "psample-pack-"));
  try {
    for (const [path, bytes] of published.files) put(sources, path, bytes);
    const archive = join(sources, "packed.tgz");
    const { status, err } = await deno(program, sources, ["pack", "--allow-dirty", "--no-source-maps", "-o", archive], { jsr, cache });
    if (status !== 0) throw new Error(`deno pack ended with status ${status}: ${err}`);
    return new Map([...untar(readFileSync(archive))].map(([path, bytes]) => [path.replace(/^package\//, ""), bytes]));
  } finally {
    rmSync(sources, { recursive: true });
  }
}
