/** The summary at the end, and the message if nothing is shown. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { silenceOf } from "../../cli/silence.ts";
import { NOTHING } from "../../cli/session.ts";
import { type Passing, received } from "../../cli/summary.ts";

const PASSING: Passing = { trials: 43112n, packets: 43112n, oneIn: 1000, foreign: 0, load: "about 3.10 Mbit/s ±31%" };

test("the summary says what passed, what was sampled, roughly how much traffic that is, and what was lost", () => {
  const stats = { ...NOTHING.stats(), received: 41 };
  const told = (passing: Partial<Passing>, written = 41): string => received(stats, written, undefined, { ...PASSING, ...passing });
  assertEquals(told({}), "43,112 packets passed (rule hits), 1 in 1000: 41 sampled; about 3.10 Mbit/s ±31%; lost 0");
  assertEquals(
    told({ packets: 120331n }, 10),
    "43,112 packets passed (rule hits, 120,331 on the wire), 1 in 1000: 41 sampled, 10 of them printed or recorded; " +
      "about 3.10 Mbit/s ±31%; lost 0",
  );
  assertEquals(
    told({ unread: ["eth0", "eth1"] }),
    "at least 43,112 packets passed (rule hits), 1 in 1000: 41 sampled; about 3.10 Mbit/s ±31%; what passed eth0, eth1 at the end was not " +
      "counted: the sampling was gone before its counters could be read; lost 0",
  );
  // Each sample is a packet that passed.
  assertEquals(
    told({ trials: 40n, packets: 40n, load: undefined }),
    "at least 41 packets passed (rule hits), 1 in 1000: 41 sampled; lost 0",
  );
  assertEquals(
    told({ foreign: 40, trials: undefined, packets: 1n, load: undefined }, 1),
    "1 packet passed, 1 in 1000: 1 sampled; 40 samples of others left out; lost 0",
  );
  assertEquals(
    received({ ...stats, filtered: true }, 41, undefined, PASSING).replace(/; lost.*/, ""),
    "43,112 packets passed (rule hits), 1 in 1000: 41 samples that the filter let through; about 3.10 Mbit/s ±31% of what it lets through",
  );
  assertEquals(told({ trials: undefined, packets: undefined, load: undefined }), "received 41 samples; lost 0");
  assertEquals(
    received(stats, 1, undefined, { ...PASSING, oneIn: "mixed", load: undefined }, "exported"),
    "43,112 packets passed (rule hits), each device at its rate: 41 sampled, 1 of them exported; lost 0",
  );
  // Collectors did not get all of it, which they say themselves.
  assertEquals(received(stats, 41, undefined, undefined, "exported", true), "received 41 samples; lost 0 while receiving");
});

test("a silence is explained by what arrived, what was wanted, and a rate that would show something", () => {
  const told = (passed: bigint | undefined, oneIn: number | undefined, samples = 0): string =>
    silenceOf({ seconds: 5, devices: "eth0", passed, oneIn, samples });
  assertEquals(
    told(312n, 1000),
    "312 packets passed eth0 in 5 s, of which 1 in 1000 is sampled, but none has been yet; --rate 50 would show about one a second",
  );
  assertEquals(
    told(1n, 10),
    "1 packet passed eth0 in 5 s, of which 1 in 10 is sampled, but none has been yet; --rate 1 would show about one a second",
  );
  // That is bad luck.
  assertEquals(told(50_000n, 1000), "50,000 packets passed eth0 in 5 s, of which 1 in 1000 is sampled, but none has been yet");
  assertEquals(told(0n, 1000), "no packet passed eth0 in 5 s: no --rate would show one");
  const some = { seconds: 5, devices: "eth0", oneIn: 10, samples: 0, matched: true };
  assertEquals(silenceOf({ ...some, passed: 0n }), "no packet that --match selects passed eth0 in 5 s: no --rate would show one");
  assertEquals(
    silenceOf({ ...some, passed: 5n }),
    "5 packets that --match selects passed eth0 in 5 s, of which 1 in 10 is sampled, but none has been yet; --rate 1 would show about one a second",
  );
  assertEquals(told(undefined, 1000), "nothing was sampled on eth0 in 5 s: a smaller --rate shows more");
  assertEquals(
    told(90n, 100, 12),
    "12 samples arrived in 5 s, and --filter matches none of them; --rate 10 would sample ten times as many",
  );
  assertEquals(told(1n, 1, 1), "1 sample arrived in 5 s, and --filter matches none of them");
});
