import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { recordingFormat } from "../../src/format/recorder.ts";

test("the name of a file decides its format: .pcap is packets, everything else pcapng", () => {
  for (const path of ["a.pcapng", "A.PCAPNG", "a", "-", "a.pcap.gz", "pcap", "a.cap", "/x.pcap/a"]) {
    assertEquals(recordingFormat(path), "pcapng", path);
  }
  for (const path of ["a.pcap", "A.PCAP", "/x/y.pcap", ".pcap"]) assertEquals(recordingFormat(path), "pcap", path);
});
