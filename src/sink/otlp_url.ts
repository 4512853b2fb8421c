/** Where metrics are sent by OTLP: a URL, as people write it. */
import { ArgumentError } from "../errors.ts";

/** OTLP/HTTP's own port (opentelemetry-proto, docs/specification.md, "OTLP/HTTP Default Port"). */
const PORT = 4318;
const PATH = "/v1/metrics";
const FORMS = "expected a URL such as http://192.0.2.9:4318, http://[2001:db8::9] or https://otlp.example.net/v1/metrics";

/**
 * Reads a URL. Without a path it is `/v1/metrics`; without a port it is 4318 for http, and 443 for https, where hosted services listen.
 *
 * @throws {ArgumentError} if it is anything else than a URL of http or https, or has a user or a fragment.
 */
export function parseOtlpUrl(text: string): URL {
  // It is not repeated: there may be a password in it.
  const wrong = (why: string): ArgumentError =>
    new ArgumentError(`Cannot send by OTLP to ${JSON.stringify(shownUrl(text))}: ${why}`, { why });
  const [, scheme, authority] = /^(\w+):\/\/([^/?#]*)/.exec(text) ?? [];
  if (scheme === undefined || !/^https?$/i.test(scheme) || authority === "" || !URL.canParse(text)) throw wrong(FORMS);
  const url = new URL(text);
  if (authority!.includes("@")) throw wrong("credentials belong in a header: Authorization=Basic ...");
  if (url.hash !== "") throw wrong("a URL to send to has no #");
  const [, port] = /:(\d*)$/.exec(authority!.replace(/^\[.*\]/, "")) ?? [];
  if (port === "" || Number(port) === 0) throw wrong("the port is not a number from 1 to 65535");
  if (port === undefined && url.protocol === "http:") url.port = `${PORT}`;
  if (url.pathname === "/") url.pathname = PATH;
  return url;
}

/** The URL for people: without the query, which may have a key in it. */
export function otlpUrlText({ origin, pathname }: URL): string {
  return `${origin}${pathname}`;
}

/** A text that was meant to be a URL, without what may be secret in it. */
export function shownUrl(text: string): string {
  return text.replace(/\?.*$/s, "?...").replace(/\/\/[^/]*@/, "//...@");
}
