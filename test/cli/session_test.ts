import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { answering, inSession, NOTHING, type PumpPlan, type Session, type SessionOptions } from "../../cli/session.ts";
import { aggregateTo, SystemError } from "../../mod.ts";
import { JsonWriter } from "../../src/format/json.ts";
import { Lines } from "../../src/sink/lines.ts";
import type { Batch } from "../../src/stream/batch.ts";
import type { Sink } from "../../src/stream/sink.ts";
import { SinkSet } from "../../src/stream/sink_set.ts";
import type { Source } from "../../src/stream/source.ts";
import type { ListenStats } from "../../src/stream/stats.ts";
import { viewSample } from "../../src/psample/sample_decoder.ts";
import { message, number } from "../psample/build.ts";
import { TestSource } from "../stream/pump_ends.ts";
import { TestDestination } from "../sink/destinations.ts";
import { BatchesSource } from "../support/batches.ts";
import { type FakeIo, fakeIo, type FakeIoOptions } from "./fake_io.ts";
import { messageOf } from "../../src/wire/message.ts";
import { until } from "../support/waiting.ts";

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** A gate that stays closed until it is opened. */
class Gate {
  open = (): void => {};
  readonly passed: Promise<void> = new Promise((resolve) => this.open = resolve);
}

function batch(...sequences: number[]): ReturnType<typeof viewSample>[] {
  return sequences.map((sequence) => viewSample(messageOf(message([[3, number(4, 1)], [4, number(4, sequence)]]))));
}

/** A source that has some batches, then waits until it is ended; queued batches are still delivered. */
class Waiting extends BatchesSource {
  readonly #gate = new Gate();
  #queued: BatchesSource | undefined;
  reads = 0;
  override read(): Batch | undefined | Promise<Batch | undefined> {
    this.reads++;
    return super.read() ?? this.#gate.passed.then(() => this.#queued?.read());
  }
  override end(): void {
    this.#queued = new BatchesSource([batch(9)]);
    this.#gate.open();
  }
  override close(): Promise<void> {
    this.#gate.open();
    return Promise.resolve();
  }
}

const account = ({ received, lost }: ListenStats, written: number): string => `${received} received, ${lost} lost, ${written} written`;
const always = { account, summary: () => true };

function lines(destination = new TestDestination()): { destination: TestDestination; sink: Sink } {
  return { destination, sink: new Lines(destination, new JsonWriter()) };
}

interface Run {
  io: FakeIo;
  session: Session;
  status: Promise<number>;
}

/** Starts a session, which has begun its work when this resolves. */
async function start(
  work: (session: Session) => Promise<void>,
  options: Partial<SessionOptions> = {},
  world: FakeIoOptions = {},
): Promise<Run> {
  const io = fakeIo(world);
  let session!: Session;
  const begun = new Gate();
  const status = inSession(io, { quiet: false, ...options }, async (its) => {
    session = its;
    begun.open();
    await work(its);
  });
  status.catch(() => {});
  await begun.passed;
  return { io, session, status };
}

/** Starts to pump from a source that waits. */
async function pumping(
  plan: Partial<PumpPlan> = {},
  options?: Partial<SessionOptions>,
  world?: FakeIoOptions,
): Promise<Run & { source: Waiting; destination: TestDestination }> {
  const { destination, sink } = lines();
  const source = new Waiting([batch(1, 2)]);
  const run = await start(
    async (session) => {
      await session.pump(source, { sinks: [sink], ...always, ...plan });
    },
    options,
    world,
  );
  while (source.reads < 2) await turn();
  return { ...run, source, destination };
}

test("INT, TERM and HUP end it with what is queued, a summary and status 0", async () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    const { io, status, destination } = await pumping();
    assert(io.signal(signal));
    assertEquals(await status, 0);
    assertEquals(destination.text().trim().split("\n").map((line) => JSON.parse(line).sequence), [1, 2, 9]);
    assertEquals(io.errors(), "psample: 2 received, 0 lost, 3 written\n");
    assertEquals(io.deaths, []);
    assert(!io.signal(signal), "nobody hears signals any more");
  }
});

test("HUP reloads what can be reloaded, and goes on; what cannot ends", async () => {
  let reloads = 0;
  const { io, status, destination } = await pumping({ reload: () => void reloads++ });
  for (let i = 0; i < 2; i++) io.signal("SIGHUP");
  assertEquals([reloads, destination.closed], [2, 0]);
  io.signal("SIGTERM");
  assertEquals([await status, io.errors(), io.deaths], [0, "psample: 2 received, 0 lost, 3 written\n", []]);
});

test("a HUP that comes before a service can reload is answered as soon as it can", async () => {
  let reloads = 0;
  const ready = new Gate();
  const { sink } = lines();
  const source = new Waiting([batch(1, 2)]);
  const { io, status } = await start(async (session) => {
    await session.unlessOver(ready.passed);
    await session.pump(source, { sinks: [sink], ...always, reload: () => void reloads++ });
  }, { reloads: true });
  for (let i = 0; i < 2; i++) io.signal("SIGHUP");
  ready.open();
  while (source.reads < 2) await turn();
  assertEquals(reloads, 1);
  io.signal("SIGTERM");
  assertEquals([await status, io.errors()], [0, "psample: 2 received, 0 lost, 3 written\n"]);
});

test("HUP ends also what could reload, if the terminal was closed", async () => {
  let reloads = 0;
  let isTerminalClosed = false;
  const { io, status } = await pumping({ reload: () => void reloads++ }, {}, { isTerminalClosed: () => isTerminalClosed });
  io.signal("SIGHUP");
  assertEquals(reloads, 1);
  isTerminalClosed = true;
  io.signal("SIGHUP");
  assertEquals([await status, reloads, io.errors()], [0, 1, "psample: 2 received, 0 lost, 3 written\n"]);
});

test("a sink that comes later is not behind, and one that is removed is counted for as long as it was there", async () => {
  const [first, second] = [lines(), lines()];
  const sinks = new SinkSet([first.sink]);
  const source = new TestSource([], true);
  const { io, session, status } = await start(async (session) => {
    await session.pump(source, { sinks, ...always, account: (_, written) => `${written} written` });
  });
  const push = async (...sequences: number[]): Promise<void> => {
    source.push(new BatchesSource([batch(...sequences)]).read() as Batch);
    await turn();
  };
  await push(1, 2);
  sinks.add(second.sink);
  await push(3);
  io.signal("SIGUSR1");
  await sinks.remove(first.sink);
  await push(4);
  io.signal("SIGTERM");
  assertEquals([await status, session.account], [0, "4 written"]);
  assertEquals(io.errors(), "psample: 3 written\npsample: 4 written\n");
  assertEquals([first.destination.text(), second.destination.text()].map((text) => text.trim().split("\n").length), [3, 2]);
});

test("without a pump USR1 is answered, work continues, and other signals have their default effect", async () => {
  const io = fakeIo();
  const gate = new Gate();
  const result = answering(io, "half done", () => gate.passed.then(() => 42));
  await turn();
  for (const signal of ["SIGUSR1", "SIGUSR2"]) io.signal(signal);
  assertEquals([io.errors(), io.deaths], ["psample: half done\n", []]);
  io.signal("SIGTERM");
  assertEquals(io.deaths, ["SIGTERM"]);
  gate.open();
  assertEquals(await result, 42);
  assert(!io.signal("SIGUSR1"), "nobody hears signals any more");
});

test("every other signal ends it in the same way, and then the process dies of the first one", async () => {
  for (const signal of ["SIGQUIT", "SIGALRM", "SIGPROF"]) {
    const { io, status, destination } = await pumping();
    io.signal(signal);
    io.signal("SIGVTALRM");
    await status;
    assertEquals(io.deaths, [signal]);
    assertEquals(destination.closed, 1);
  }
});

test("it dies of the signal also if its work fails, after cleaning up", async () => {
  let cleaned = false;
  const { io, status } = await start(async (session) => {
    try {
      await session.begin((signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("broken")))));
    } finally {
      await turn();
      cleaned = true;
    }
  });
  io.signal("SIGQUIT");
  await assertRejects(() => status, Error, "broken");
  assertEquals([cleaned, io.deaths], [true, ["SIGQUIT"]]);
});

test("after a second signal no reader is waited for", async () => {
  const { destination, sink } = lines();
  destination.room = 5;
  const source = new Waiting([batch(1, 2)]);
  const { io, status } = await start(async (session) => {
    await session.pump(source, { sinks: [sink], ...always });
  });
  while (source.reads < 2) await turn();
  io.signal("SIGTERM");
  for (let i = 0; i < 5; i++) await turn();
  assertEquals(destination.closed, 0, "the first signal waits");
  io.signal("SIGINT");
  assertEquals(await status, 1);
  assertEquals(destination.closed, 1);
  assertEquals(
    io.errors(),
    "psample: test is incomplete: its reader did not take everything in time\npsample: 2 received, 0 lost, 0 written\n",
  );
});

test("two signals in one turn of the event loop are two", async () => {
  const { destination, sink } = lines();
  destination.room = 0;
  const { io, status } = await start(async (session) => {
    await session.pump(new Waiting([batch(1)]), { sinks: [sink], ...always });
  });
  io.signal("SIGINT");
  io.signal("SIGINT");
  assertEquals(await status, 0);
});

test("USR1 prints the numbers so far, USR2 reopens the recording; both continue", async () => {
  let reopened = 0;
  const { io, status } = await pumping({ reopen: () => void reopened++ }, { quiet: true });
  io.signal("SIGUSR1");
  io.signal("SIGUSR2");
  assertEquals([io.errors(), reopened], ["psample: 2 received, 0 lost, 2 written\n", 1]);
  io.signal("SIGTERM");
  assertEquals(await status, 0);
  assertEquals(io.errors(), "psample: 2 received, 0 lost, 2 written\n");
});

test("signals are answered before there is anything to pump", async () => {
  const { io, status } = await start(async (session) => {
    const begun = await session.begin((signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    );
    assertEquals(begun, undefined);
    assertEquals(await session.begin(() => Promise.reject(new Error("not begun"))), undefined);
    assertEquals(await session.unlessOver(new Promise(() => {})), undefined);
    const { sink, destination } = lines();
    await session.pump(NOTHING, { sinks: [sink], account, summary: ({ received }) => received > 0 });
    assertEquals(destination.closed, 1);
  });
  io.signal("SIGUSR1");
  io.signal("SIGUSR2");
  assertEquals(io.errors(), "psample: nothing was received yet\n");
  io.signal("SIGTERM");
  assertEquals([await status, io.errors()], [0, "psample: nothing was received yet\n"]);
});

test("the time limit counts from the start, and begin gives what was begun in time", async () => {
  const started = performance.now();
  const { status } = await start(async (session) => {
    assertEquals(await session.begin(() => Promise.resolve(5)), 5);
    assertEquals(await session.unlessOver(Promise.resolve(6)), 6);
    assertEquals(
      await session.begin((signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))),
      undefined,
    );
    const waited = performance.now();
    const { sink } = lines();
    const source: Source = new Waiting([batch(1)]);
    const summary = await session.pump(source, { sinks: [sink], ...always });
    assertEquals(summary!.end, "duration");
    assert(performance.now() - waited < 1000);
  }, { duration: 50 });
  assertEquals(await status, 0);
  assert(performance.now() - started >= 50);
});

test("a time limit that is over before anything was received is told", async () => {
  const late = /^psample: the time limit was over before anything was received: it counts from the start of the command\n/;
  const forever = (signal: AbortSignal): Promise<void> =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const nothing = await start(async (session) => {
    await session.begin(forever);
    await session.pump(NOTHING, { sinks: [lines().sink], ...always, summary: () => false });
  }, { duration: 20 });
  assertEquals(await nothing.status, 0);
  assertMatch(nothing.io.errors(), late);
  const something = await start(async (session) => {
    await session.begin(forever);
    await session.pump(new Waiting([batch(1)]), { sinks: [lines().sink], ...always });
  }, { duration: 20 });
  assertEquals(await something.status, 0);
  assert(!late.test(something.io.errors()), something.io.errors());
});

test("`over` aborts before the source is ended, so that sampling ends first", async () => {
  const order: string[] = [];
  const { sink } = lines();
  class Ordered extends Waiting {
    override end(): void {
      order.push("source");
      super.end();
    }
  }
  const { io, status } = await start(async (session) => {
    session.over.addEventListener("abort", () => order.push("over"));
    await session.pump(new Ordered([batch(1)]), { sinks: [sink], ...always });
  });
  await turn();
  io.signal("SIGINT");
  await status;
  assertEquals(order, ["over", "source"]);
  // At a limit too.
  order.length = 0;
  const counted = await start(async (session) => {
    session.over.addEventListener("abort", () => order.push("over"));
    await session.pump(new Ordered([batch(1, 2, 3)]), { sinks: [lines().sink], ...always, count: 2 });
  });
  assertEquals(await counted.status, 0);
  assertEquals(order, ["over", "source"]);
});

test("nothing is reported if there is nothing to report and no terminal", async () => {
  const pumpNothing = async (terminal: boolean, quiet: boolean): Promise<string> => {
    const io = Object.assign(fakeIo({ errIsTerminal: terminal }));
    await inSession(io, { quiet }, async (session) => {
      await session.pump(NOTHING, { sinks: [lines().sink], account, summary: () => false });
    });
    return io.errors();
  };
  assertEquals(await pumpNothing(false, false), "");
  assertEquals(await pumpNothing(true, false), "psample: 0 received, 0 lost, 0 written\n");
  assertEquals(await pumpNothing(true, true), "");
});

test("samples that a sink has skipped are losses, not a failure", async () => {
  for (const [failOnLoss, expected] of [[false, 0], [true, 3]] as const) {
    const { io, status } = await start(async (session) => {
      const sink: Sink = { ...aggregateTo({ take: () => {} }, "collector"), written: 1, skipped: 1 };
      await session.pump(new BatchesSource([batch(1, 2)]), { sinks: [sink], ...always });
    }, { failOnLoss });
    assertEquals([await status, io.errors()], [expected, "psample: 2 received, 0 lost, 1 written\n"]);
  }
});

test("losses change the status only on request", async () => {
  for (const [failOnLoss, expected] of [[false, 0], [true, 3]] as const) {
    for (const [batches, dropped, lossy] of [[[batch(1, 5)], 0, true], [[batch(1, 2)], 0, false], [[batch(1)], 1, true]] as const) {
      const { status } = await start(async (session) => {
        await session.pump(new BatchesSource(batches, { dropped }), { sinks: [lines().sink], ...always });
      }, { failOnLoss });
      assertEquals(await status, lossy ? expected : 0, `${failOnLoss} ${batches} ${dropped}`);
    }
  }
});

test("output cut off because nobody read it is a loss, and something not done, and is reported for that output", async () => {
  for (const [failOnLoss, expected] of [[false, 1], [true, 3]] as const) {
    const read = lines();
    const stuck = lines();
    stuck.destination.room = 0;
    const source = new Waiting([batch(1, 2)]);
    const { io, status } = await start(async (session) => {
      await session.pump(source, { sinks: [read.sink, stuck.sink], ...always });
    }, { failOnLoss });
    while (source.reads < 2) await turn();
    io.signal("SIGTERM");
    io.signal("SIGTERM");
    assertEquals(await status, expected);
    const { written } = read.sink;
    assert(written >= 2);
    assertEquals(
      io.errors(),
      "psample: test is incomplete: its reader did not take everything in time\n" +
        `psample: 2 received, 0 lost, ${written} written; 0 samples to ${stuck.sink.name}\n`,
    );
  }
});

/** A sink that nobody reads from, as collectors are, and that delivers for ever; what it had is skipped if it is not waited for. */
function endless(name: string, skips: boolean): Sink {
  const sink = {
    name,
    written: 0,
    skipped: 0,
    ended: new Promise(() => {}),
    taken: 0,
    take: ({ samples }: Batch) => void (sink.taken += samples),
    full: () => undefined,
    flush: () => Promise.resolve(),
    close: () => new Promise<void>(() => {}),
    abort: () => void (sink.skipped = skips ? sink.taken : 0),
  };
  return sink;
}

test("a second signal is what cuts off those that have no reader, and what they skipped is said once", async () => {
  for (const skips of [true, false]) {
    const { sink } = lines();
    const source = new Waiting([batch(1, 2)]);
    const collector = endless("collector", skips);
    const { io, status } = await start(async (session) => {
      await session.pump(source, { sinks: [sink, collector], ...always });
    });
    while (source.reads < 2) await turn();
    io.signal("SIGTERM");
    for (let i = 0; i < 5; i++) await turn();
    io.signal("SIGTERM");
    assertEquals(await status, 1);
    const behind = skips ? "" : "; 0 samples to collector";
    assertEquals(
      io.errors(),
      "psample: collector is incomplete: a second signal ended it before everything was delivered\n" +
        `psample: 2 received, 0 lost, 3 written${behind}\n`,
    );
  }
});

test("a signal is heard until everything is delivered, also after the end, and it says what it waits for", async () => {
  for (const plan of [{}, { count: 1 }]) {
    const { sink, destination } = lines();
    destination.room = 0;
    const { io, status } = await start(async (session) => {
      await session.pump(new BatchesSource([batch(1)]), { sinks: [sink], ...always, ...plan });
    });
    while (!sink.isWaiting) await turn();
    io.signal("SIGTERM");
    await until(() => `it tells; it said ${io.errors()}`, () => io.errors() !== "");
    assertEquals(io.errors(), "psample: waiting for the reader of test for up to 5 s; a second signal ends at once\n");
    // It reads after all.
    destination.takes(Infinity);
    assertEquals(await status, 0);
    assertMatch(io.errors(), /ends at once\npsample: 1 received, 0 lost, 1 written\n$/);
  }
});

test("the numbers are reported also when the only output fails", async () => {
  const { destination, sink } = lines();
  destination.fails(28);
  const { io, status } = await start(async (session) => {
    await session.pump(new BatchesSource([batch(1, 2)]), { sinks: [sink], ...always });
  });
  assertEquals(await status, 1);
  assertMatch(io.errors(), /^psample: .*ENOSPC.*\npsample: 2 received, 0 lost, 0 written\n$/);
});

test("what was not done is reported even with --quiet, and is status 1, whatever was lost", async () => {
  const { io, status } = await start(async (session) => {
    session.notice("not to be heard");
    session.fail("Cannot remove the filter");
    await session.pump(new BatchesSource([batch(1, 5)]), { sinks: [lines().sink], ...always });
  }, { quiet: true, failOnLoss: true });
  assertEquals([await status, io.errors()], [1, "psample: Cannot remove the filter\n"]);
});

test("a failed sink is reported once, and is status 1; the others continue", async () => {
  const full = lines();
  full.destination.errno = 28;
  const fine = lines();
  const { io, status } = await start(async (session) => {
    const summary = await session.pump(new BatchesSource([batch(1), batch(2)]), { sinks: [full.sink, fine.sink], ...always });
    assertEquals(summary!.sinks.map(({ written }) => written), [0, 2]);
  });
  assertEquals(await status, 1);
  assertMatch(io.errors(), /^psample: Cannot write the output: no space left on device \(ENOSPC\)[^\n]*\npsample: 2 received/);
  const alone = lines();
  alone.destination.errno = 28;
  const run = await start(async (session) => {
    assertEquals(await session.pump(new BatchesSource([batch(1)]), { sinks: [alone.sink], ...always }), undefined);
  });
  assertEquals(await run.status, 1);
  assertEquals(run.io.errors().match(/ENOSPC/g)!.length, 1);
});

test("if the only reader is gone, it ends with the numbers and status 0", async () => {
  const alone = lines();
  alone.destination.errno = 32;
  const { io, status } = await start(async (session) => {
    await session.pump(new BatchesSource([batch(1), batch(2)]), { sinks: [alone.sink], ...always });
  });
  assertEquals([await status, io.errors()], [0, "psample: 2 received, 0 lost, 0 written\n"]);
});

test("samples after the limit, or after the last output has failed, are counted, when no more are made for this run", async () => {
  for (const [errno, expected] of [[0, 0], [28, 1], [32, 0]] as const) {
    const { destination, sink } = lines();
    if (errno !== 0) destination.fails(errno);
    const order: string[] = [];
    const staged: number[] = [];
    const source = new Waiting([batch(1, 2), batch(3)]);
    const end = source.end.bind(source);
    source.end = () => {
      order.push("end");
      end();
    };
    const { io, status } = await start(async (session) => {
      await session.pump(source, {
        sinks: [sink],
        ...always,
        count: errno === 0 ? 1 : undefined,
        stages: [{ select: (batch, pick) => batch.entries.forEach((entry, i) => (staged.push(entry.sequence!), pick(i))) }],
        settle: async () => {
          if (order.length > 0) return;
          order.push("settling");
          await turn();
          order.push("settled");
        },
      });
    });
    assertEquals(await status, expected);
    assertEquals(order.slice(0, 3), ["settling", "settled", "end"]);
    assertEquals([...new Set(staged)], [1, 2, 3, 9], `${errno}`);
    // What the source counts itself, and what is in its queue.
    assertMatch(io.errors(), new RegExp(`psample: 3 received, 0 lost, ${errno === 0 ? 1 : 0} written\n$`));
  }
});

test("it ends with the error of the source, and a bug in a sink keeps its stack", async () => {
  const failure = new SystemError("receive samples", 19);
  const failing = await start(async (session) => {
    await session.pump(new BatchesSource([batch(1)], { failure }), { sinks: [lines().sink], ...always });
  });
  assertEquals(await failing.status.catch((error) => error), failure);
  const bug = new TypeError("a bug");
  const broken: Sink = Object.assign(lines().sink, {
    take: () => {
      throw bug;
    },
  });
  for (const sinks of [[broken], [broken, lines().sink]]) {
    const { io, status } = await start(async (session) => {
      await session.pump(new BatchesSource([batch(1)]), { sinks, ...always });
    });
    assertEquals(await status.catch((error) => error), bug);
    assertEquals(io.errors(), "");
  }
});

test("the numbers at the end are final: everything has settled", async () => {
  let settled = false;
  const { io, status } = await start(async (session) => {
    await session.pump(new BatchesSource([batch(1)]), {
      sinks: [lines().sink],
      summary: () => true,
      account: () => `settled: ${settled}`,
      settle: async () => {
        await turn();
        settled = true;
      },
    });
  });
  assertEquals([await status, io.errors()], [0, "psample: settled: true\n"]);
});
