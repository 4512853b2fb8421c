import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type Directory, Series, seriesName, seriesNumber } from "../../src/sink/series.ts";

class TestDirectory implements Directory {
  readonly removed: string[] = [];
  constructor(readonly names: string[] = []) {}
  namesBeside(): readonly string[] {
    return this.names;
  }
  remove(path: string): void {
    if (path.includes("stuck")) throw new Error(`is a directory: ${path}`);
    this.removed.push(path);
  }
}

test("files of a series have their number before the extension", () => {
  assertEquals(
    ["a.pcapng", "/x.d/a", "a.b.pcap", ".hidden", "-"].map((path) => seriesName(path, 7)),
    ["a-00007.pcapng", "/x.d/a-00007", "a.b-00007.pcap", "-00007.hidden", "--00007"],
  );
  assertEquals(seriesName("a.pcapng", 123456), "a-123456.pcapng");
});

test("a name shows whether it belongs to a series", () => {
  assertEquals(
    [
      "a-00007.pcapng",
      "a-123456.pcapng",
      "a-7.pcapng",
      "a-000007.pcapng",
      "b-00007.pcapng",
      "a-00007.pcap",
      "a.pcapng",
      "a-00007.pcapng.gz",
    ]
      .map((name) => seriesNumber("a.pcapng", name)),
    [7, 123456, undefined, undefined, undefined, undefined, undefined, undefined],
  );
});

test("a series continues after the files of earlier runs, and overwrites none", () => {
  const series = new Series("dir/a.pcapng", new TestDirectory(["a-00001.pcapng", "a-00012.pcapng", "a-00003.pcapng", "other", "a.pcapng"]));
  assertEquals([series.next(), series.next()], ["dir/a-00013.pcapng", "dir/a-00014.pcapng"]);
});

test("a number that cannot be incremented belongs to no series", () => {
  const names = ["a-00002.pcapng", "a-9007199254740991.pcapng", "a-99999999999999999999.pcapng", "a-1000000000000000000000.pcapng"];
  const series = new Series("a.pcapng", new TestDirectory(names));
  assertEquals([series.next(), series.next()], ["a-00003.pcapng", "a-00004.pcapng"]);
});

test("only the last files are kept, those of earlier runs included", () => {
  const directory = new TestDirectory(["a-00001.pcapng", "a-00002.pcapng", "a-00005.pcapng"]);
  const series = new Series("a.pcapng", directory, 2);
  series.next();
  assertEquals(directory.removed, []);
  series.prune();
  assertEquals(directory.removed, ["a-00001.pcapng", "a-00002.pcapng"]);
  series.next();
  series.prune();
  assertEquals(directory.removed.at(-1), "a-00005.pcapng");
});

test("a file that cannot be removed is reported, and does not end the series", () => {
  const told: unknown[] = [];
  const series = new Series("stuck.pcap", new TestDirectory(["stuck-00001.pcap"]), 1, (error) => told.push((error as Error).message));
  assertEquals(series.next(), "stuck-00002.pcap");
  series.prune();
  assertEquals(told, ["is a directory: stuck-00001.pcap"]);
  series.prune();
  assertEquals(told.length, 1);
});
