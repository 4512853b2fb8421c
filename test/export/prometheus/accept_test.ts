import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { chooseFormat } from "../../../src/export/prometheus/accept.ts";

test("scrapers get the format that they ask for", () => {
  const headers: [string | undefined, "text" | "openmetrics"][] = [
    [undefined, "text"],
    ["", "text"],
    ["*/*", "text"],
    ["text/html", "text"],
    ["application/openmetrics-text", "openmetrics"],
    ["application/openmetrics-text; version=1.0.0", "openmetrics"],
    ['application/openmetrics-text; version="1.0.0"', "openmetrics"],
    ["Application/OpenMetrics-Text;Version=1.0.0", "openmetrics"],
    // Other versions are others' formats.
    ["application/openmetrics-text; version=0.0.1", "text"],
    ["application/openmetrics-text; version=0.0.1, */*;q=0.1", "text"],
    ["text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0;q=0.4", "text"],
    ["text/plain;version=0.0.4;q=0.4, application/openmetrics-text;version=1.0.0;q=0.5", "openmetrics"],
    // As much as the other, but by its name.
    ["application/openmetrics-text, */*", "openmetrics"],
    ["text/plain, application/openmetrics-text", "text"],
    ["application/*", "openmetrics"],
    // Refused by its name, however much everything else is wanted.
    ["application/openmetrics-text;q=0, */*;q=1", "text"],
    ["application/openmetrics-text;q=0.000", "text"],
    ["application/openmetrics-text;q=2, text/plain;q=0.1", "text"],
    // Prometheus 2.42, 3.0, and a browser.
    [
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
      "openmetrics",
    ],
    [
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
      "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
      "openmetrics",
    ],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "text"],
  ];
  for (const [header, format] of headers) assertEquals(chooseFormat(header), format, header);
});
