/** The page for people: what is on it, and what a real browser makes of it. */
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { metricsPage, PAGE_STYLE } from "../../../src/export/prometheus/page.ts";
import type { MetricsState } from "../../../src/export/prometheus/state.ts";
import { inDirectory } from "../../support/directory.ts";
import { browser } from "../../support/programs.ts";
import { everything, everythingElse } from "./made.ts";

/** What a browser makes of the page: its text, and where its boxes are. */
interface Measured {
  readonly headings: readonly string[];
  /** Heights of the rows of each table. */
  readonly rows: readonly (readonly number[])[];
  readonly pageWidth: number;
  readonly windowWidth: number;
  /** Of the link, and what it is on. */
  readonly colors: readonly string[];
}

/** The page itself runs no script: this one is put into a copy. */
const MEASURE = `<script>addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const measured = {
    headings: all("h2").map((heading) => heading.textContent),
    rows: all("table").map((table) => [...table.querySelectorAll("tr:has(td)")].map((row) => Math.round(row.getBoundingClientRect().height))),
    pageWidth: document.documentElement.scrollWidth,
    windowWidth: innerWidth,
    colors: [getComputedStyle(document.querySelector("a")).color, getComputedStyle(document.body).backgroundColor],
  };
  document.body.textContent = JSON.stringify(measured);
})</script>`;

/** Shows the page in a window of this width. */
async function shown(path: (name: string) => string, width: number, ...flags: string[]): Promise<Measured> {
  const page = metricsPage(everything().snapshot(1_000_000_000n, everythingElse), everythingElse, 1_784_000_000_000_000_000n);
  assert(page.includes("</head>"));
  const server = createServer((request, response) => {
    const isStyle = request.url === "/style.css";
    response.writeHead(200, { "Content-Type": isStyle ? "text/css" : "text/html; charset=utf-8" });
    response.end(isStyle ? PAGE_STYLE : page.replace("</head>", `${MEASURE}</head>`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const words = [
      ...["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${path(`profile${width}${flags.length}`)}`],
      ...[`--window-size=${width},900`, ...flags, "--dump-dom", `http://127.0.0.1:${port}/`],
    ];
    const child = spawn("chromium", words, { stdio: ["ignore", "pipe", "ignore"] });
    let dom = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => dom += text);
    await new Promise<void>((resolve, reject) => child.on("error", reject).on("close", () => resolve()));
    const [, json] = /<body>(\{.*\})<\/body>/s.exec(dom) ?? [];
    if (json === undefined) throw new Error(`the browser shows ${JSON.stringify(dom)}`);
    return JSON.parse(json.replaceAll("&amp;", "&")) as Measured;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** The cells of a row of the page, without markup. */
function cellsOf(state: MetricsState, first: string): string[] {
  const page = metricsPage(everything().snapshot(1_000_000_000n, state), state, 0n);
  const rows = [...page.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row!.matchAll(/<t[dh][^>]*>(.*?)<\/t[dh]>/gs)].map(([, cell]) => cell!.replace(/<span class="bad">(.*)<\/span>/, "$1!"))
  );
  return rows.find(([cell]) => cell === first) ?? [];
}

test("what is sent to collectors is on the page in the words of each way: by UDP, by a connection, as reports", () => {
  const columns = ["to", "samples", "skipped", "datagrams", "dropped", "errors came back"];
  const ofConnections = ["connected", "waiting", "unconfirmed"];
  const ofReports = ["reports", "failed", "skipped reports", "rejected points"];
  assertEquals(cellsOf(everythingElse, "to"), [...columns, ...ofConnections, ...ofReports]);
  assertEquals(cellsOf(everythingElse, "sFlow"), ["sFlow", "1", "2!", "1", "2!", "at least 3!", "", "", "", "", "", "", ""]);
  assertEquals(cellsOf(everythingElse, "IPFIX"), ["IPFIX", "5", "6!", "7", "8!", "0", "yes", "9", "10!", "", "", "", ""]);
  assertEquals(cellsOf(everythingElse, "OTLP"), ["OTLP", "3", "4!", "", "", "", "", "", "", "4", "5!", "6!", "7!"]);
  const gone = { name: "gone", written: 0, skipped: 0, connection: { isOpen: false, connections: 0, waitingSamples: 9, mayBeLost: 0 } };
  assertEquals(cellsOf({ ...everythingElse, sinks: [gone] }, "to"), [...columns, ...ofConnections]);
  assertEquals(cellsOf({ ...everythingElse, sinks: [gone] }, "gone"), ["gone", "0", "0", "", "", "", "no!", "9", "0"]);
  assertEquals(cellsOf({ ...everythingElse, sinks: [{ name: "a.pcapng", written: 5, skipped: 0 }] }, "to"), columns);
});

test("the size of the receive buffer is on the page if there is one", () => {
  const size = (receiveBufferBytes: number): string[] =>
    ["", " of 4,096 bytes", " of 0 bytes"].filter((text) =>
      cellsOf(
        { ...everythingElse, stats: { ...everythingElse.stats, receiveBufferBytes } },
        `messages dropped by a full receive buffer${text}`,
      )
        .length > 0
    );
  assertEquals([size(4096), size(0)], [[" of 4,096 bytes"], [""]]);
});

test(
  "a browser shows every part; numbers stay on one line, and a table that is too wide scrolls alone",
  browser("chromium"),
  inDirectory(async (path) => {
    for (const width of [1000, 500]) {
      const { headings, rows, pageWidth, windowWidth } = await shown(path, width);
      assertEquals(headings, ["Sampled", "Traffic", "Largest flows", "Account", "Discarded by the kernel", "Exported"]);
      assertEquals(windowWidth, width);
      assert(pageWidth <= windowWidth, `the page is ${pageWidth} wide in a window of ${windowWidth}`);
      // What has no sentences in it has rows of one height.
      for (const table of [1, 2, 5]) assertEquals(new Set(rows[table]).size, 1, `${headings[table]} at ${width}: ${rows[table]}`);
    }
  }),
);

test(
  "in the dark the link can be read",
  browser("chromium"),
  inDirectory(async (path) => {
    const brightness = (color: string): number => color.match(/\d+/g)!.slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
    const [light, paper] = (await shown(path, 1000)).colors.map(brightness);
    const [link, background] = (await shown(path, 1000, "--blink-settings=preferredColorScheme=0")).colors.map(brightness);
    assert(paper! > 200 && light! < 120, `${light} on ${paper}`);
    assert(background! < 60 && link! > 120, `${link} on ${background}`);
  }),
);
