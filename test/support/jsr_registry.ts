/**
 * A stand-in for JSR on the loopback address: serves packages as JSR does, and takes what `deno publish` uploads. Deno uses it if its
 * address is in the environment as JSR_URL.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
// In Deno, so that npm's package of these sources is there.
import "@std/text/closest-string";
import { untar } from "./tar.ts";

const encoder = new TextEncoder();

/** What is published of one version of a package. */
export interface JsrPackage {
  /** Such as `@std/text`. */
  name: string;
  version: string;
  /** Entry points, as in deno.json. */
  exports: Record<string, string>;
  /** By their paths, without a slash in front. */
  files: Map<string, Uint8Array>;
}

/** A package that was uploaded, and who uploaded it. */
export interface JsrUpload extends JsrPackage {
  /** The header `Authorization`. */
  authorization: string;
}

/** What was asked of the token that GitHub issues to a workflow (OpenID Connect). */
export interface TokenRequest {
  /** The header `Authorization`. */
  authorization: string;
  /** The audience of the token: for JSR, what it allows. */
  audience: string;
}

/** A running stand-in. */
export interface JsrRegistry extends AsyncDisposable {
  /** For JSR_URL. */
  readonly url: string;
  /** What was uploaded, in that order; it is served from then on. */
  readonly uploads: readonly JsrUpload[];
  /** What tokens a workflow asked for: the stand-in is GitHub too, at `token`. */
  readonly tokenRequests: readonly TokenRequest[];
}

/** The types of what this package imports from `@std/text`, as its documentation on JSR shows them. */
const STD_TEXT: Record<string, string> = {
  closest_string: "export declare function closestString(givenWord: string, possibleWords: ReadonlyArray<string>): string;\n",
  levenshtein_distance: "export declare function levenshteinDistance(str1: string, str2: string): number;\n",
};

/**
 * `@std/text`, the only package that this one imports, of the same sources that a clone uses: JSR's own are TypeScript, and the npm package
 * has them as JavaScript, without types.
 */
export function stdText(): JsrPackage {
  const files = new Map<string, Uint8Array>();
  for (const [name, types] of Object.entries(STD_TEXT)) {
    const code = readFileSync(new URL(`./${name}.js`, import.meta.resolve("@std/text/closest-string")), "utf8");
    files.set(`${name}.js`, encoder.encode(`/* @ts-self-types="./${name}.d.ts" */\n${code}`));
    files.set(`${name}.d.ts`, encoder.encode(types));
  }
  const exports = Object.keys(STD_TEXT).map((name) => [`./${name.replaceAll("_", "-")}`, `./${name}.js`]);
  return { name: "@std/text", version: "1.0.0", exports: Object.fromEntries(exports), files };
}

/** Starts a stand-in that has these packages. */
export async function startJsrRegistry(packages: readonly JsrPackage[]): Promise<JsrRegistry> {
  const present = [...packages];
  const uploads: JsrUpload[] = [];
  const tokenRequests: TokenRequest[] = [];
  const server = createServer((request, response) => {
    const refuse = (error: unknown): void => void reply(response, 500, { code: "standIn", message: String(error) });
    answer(request, response).catch(refuse);
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const authorization = request.headers.authorization ?? "";
    const version = /^\/api\/scopes\/([^/]+)\/packages\/([^/]+)\/versions\/([^/]+)$/.exec(url.pathname);
    if (url.pathname === "/token") {
      tokenRequests.push({ authorization, audience: url.searchParams.get("audience") ?? "" });
      return reply(response, 200, { value: "token-of-the-workflow" });
    }
    if (/^\/api\/scopes\/[^/]+\/packages\/[^/]+$/.test(url.pathname)) return reply(response, 200, {});
    if (request.method === "POST" && version) {
      const files = untar(await bodyOf(request));
      const config = JSON.parse(new TextDecoder().decode(files.get((url.searchParams.get("config") ?? "").slice(1))));
      const uploaded = { name: `@${version[1]}/${version[2]}`, version: version[3]!, exports: config.exports, files, authorization };
      uploads.push(uploaded);
      present.push(uploaded);
      return reply(response, 200, { id: "1", status: "success", error: null });
    }
    return serve(present, url.pathname, response);
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    uploads,
    tokenRequests,
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Serves what is at a path of JSR: https://jsr.io/docs/api describes the paths. */
function serve(packages: readonly JsrPackage[], path: string, response: ServerResponse): void {
  const [, name, rest = ""] = /^\/(@[^/]+\/[^/]+)\/(.*)$/.exec(path) ?? [];
  const versions = packages.filter((one) => one.name === name);
  const [scope = "", base = ""] = (name ?? "").slice(1).split("/");
  if (versions.length > 0 && rest === "meta.json") {
    const latest = versions.at(-1)!.version;
    return reply(response, 200, { scope, name: base, latest, versions: Object.fromEntries(versions.map(({ version }) => [version, {}])) });
  }
  for (const { version, exports, files } of versions) {
    if (rest === `${version}_meta.json`) {
      const manifest = [...files].map(([path, bytes]) => {
        const checksum = `sha256-${createHash("sha256").update(bytes).digest("hex")}`;
        return [`/${path}`, { size: bytes.length, checksum }];
      });
      return reply(response, 200, { exports, manifest: Object.fromEntries(manifest) });
    }
    const file = rest.startsWith(`${version}/`) ? files.get(rest.slice(version.length + 1)) : undefined;
    if (file) return reply(response, 200, file, path.endsWith(".ts") ? "text/typescript" : "text/javascript");
  }
  reply(response, 404, { code: "notFound", message: `nothing is at ${path}` });
}

function reply(response: ServerResponse, status: number, body: object | Uint8Array, type = "application/json"): void {
  response.writeHead(status, { "content-type": type });
  response.end(body instanceof Uint8Array ? body : JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}
