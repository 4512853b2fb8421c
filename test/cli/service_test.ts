/** What a command tells a service manager. */
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { asService, type Service, type ServiceOptions } from "../../cli/service.ts";
import { inSession, type Session } from "../../cli/session.ts";
import { SystemError } from "../../mod.ts";
import { ServiceManager } from "../../src/control/service_manager.ts";
import type { Batch } from "../../src/stream/batch.ts";
import { loadSys } from "../../src/sys/load.ts";
import { BatchesSource } from "../support/batches.ts";
import { NotifyReceiver, sysWith } from "../support/notify_receiver.ts";
import { pause, until } from "../support/waiting.ts";
import { type FakeIo, fakeIo } from "./fake_io.ts";

const sys = await loadSys();
let names = 0;

/** Runs a command as a service of a manager of its own. */
async function serve(
  work: (service: Service, session: Session, receiver: NotifyReceiver, io: FakeIo) => Promise<void>,
  { watchdogMs, ...options }: ServiceOptions & { readonly watchdogMs?: number } = {},
): Promise<readonly string[]> {
  const name = `@psample-test-service-${sys.getpid()}-${names++}`;
  using receiver = new NotifyReceiver(name);
  const environment = sysWith({ NOTIFY_SOCKET: name, ...watchdogMs !== undefined && { WATCHDOG_USEC: `${1000 * watchdogMs}` } });
  const io = fakeIo();
  try {
    await inSession(io, { quiet: true }, (session) => {
      const open = (): Promise<ServiceManager | undefined> => Promise.resolve(ServiceManager.openWith(environment));
      return asService(session, (service) => work(service, session, receiver, io), { open, statusMs: 10, ...options });
    });
  } finally {
    receiver.receive();
  }
  return receiver.messages;
}

/** A source that has nothing, as long as nobody says otherwise. */
class Quiet extends BatchesSource {
  unread = false;
  reads = 0;
  constructor() {
    super([]);
  }
  override read(): Promise<Batch | undefined> {
    this.reads++;
    return Promise.resolve(undefined);
  }
}

test("a service is ready once, and stopping when a signal ends it", async () => {
  const messages = await serve((service, _, _receiver, io) => {
    service.ready("waiting");
    service.ready("exporting to sFlow 192.0.2.9");
    io.signal("SIGTERM");
    service.ready("too late");
    return Promise.resolve();
  });
  assertEquals(messages, ["READY=1", "STATUS=waiting", "STATUS=exporting to sFlow 192.0.2.9", "STOPPING=1", "STATUS=too late"]);
});

test("a signal before it was ready leaves only that it stops", async () => {
  const messages = await serve((service, _, _receiver, io) => {
    io.signal("SIGINT");
    service.ready("up");
    return Promise.resolve();
  });
  assertEquals(messages.filter((text) => !text.startsWith("STATUS=")), ["STOPPING=1"]);
});

test("reloading is told from its beginning to its end, whatever comes of it", async () => {
  const messages = await serve(async (service) => {
    service.ready("up");
    await service.reload(async () => await pause(1));
    await assertRejects(() => service.reload(() => Promise.reject(new Error("no"))), Error, "no");
  });
  const brief = messages.map((text) => text.replace(/\nMONOTONIC_USEC=\d+$/, " at"));
  assertEquals(brief, ["READY=1", "STATUS=up", "RELOADING=1 at", "READY=1", "RELOADING=1 at", "READY=1"]);
});

test("why it failed is told, with the error number if there is one", async () => {
  const error = new SystemError("open a socket", 1);
  let heard: readonly string[] = [];
  await assertRejects(() =>
    serve((_, _session, receiver) => {
      heard = receiver.messages;
      return Promise.reject(error);
    }), SystemError);
  assertEquals(heard, [`STATUS=${error.message}`, "ERRNO=1"]);
  const messages = await serve((_, session) => Promise.resolve(session.fail("cannot remove the filter")));
  assertEquals(messages, ["STATUS=cannot remove the filter"]);
});

test("the watchdog hears of it while nothing comes, and while what comes is read", async () => {
  await serve(async (service, _, receiver) => {
    const alive = (): number => receiver.receive().filter((text) => text === "WATCHDOG=1").length;
    await until("it is alive before there is a source", () => alive() > 1);
    const quiet = new Quiet();
    const source = service.follow(quiet);
    const before = alive();
    await until("it is alive while nothing comes", () => alive() > before + 2);
    quiet.unread = true;
    const then = alive();
    await until("it is alive while somebody reads", () => {
      void source.read();
      return alive() > then + 2;
    });
  }, { watchdogMs: 40 });
});

test("the watchdog hears nothing while the stream is stuck, and again when it moves", async () => {
  await serve(async (service, _, receiver) => {
    const alive = (): number => receiver.receive().filter((text) => text === "WATCHDOG=1").length;
    const quiet = new Quiet();
    const source = service.follow(quiet);
    await until("it is alive", () => alive() > 0);
    quiet.unread = true;
    const stuck = alive();
    await pause(400);
    assertEquals(alive(), stuck);
    void source.read();
    await until("it is alive again", () => alive() > stuck);
  }, { watchdogMs: 40 });
});

test("the status is the account, a while after something was read", async () => {
  const messages = await serve(async (service, _, receiver) => {
    const source = service.follow(new Quiet());
    service.ready("up");
    void source.read();
    await until("the account is shown", () => receiver.receive().length === 3);
    // It is the same as before.
    void source.read();
    await pause(50);
  });
  assertEquals(messages, ["READY=1", "STATUS=up", "STATUS=nothing was received yet"]);
});

test("more time is asked for only if something takes long and gets further", async () => {
  const messages = await serve((_, session) => {
    for (let i = 0; i < 1000; i++) session.onProgress();
    return Promise.resolve();
  });
  assertEquals(messages, []);
  const slow = await serve(async (_, session) => {
    await pause(1);
    session.onProgress();
  }, { askMs: 1 });
  assertEquals(slow, ["EXTEND_TIMEOUT_USEC=60000000"]);
});

test("without a service manager nothing is followed, and nothing waits", async () => {
  await inSession(fakeIo(), { quiet: true }, (session) =>
    asService(session, async (service) => {
      const quiet = new Quiet();
      assertEquals(service.follow(quiet), quiet);
      let reloads = 0;
      await service.reload(() => void reloads++);
      service.ready("up");
      assertEquals(reloads, 1);
    }, { open: () => Promise.resolve(undefined) }));
});
