/** A command as a service: what the service manager that started it, such as systemd, is told about it. */
import { SystemError } from "../mod.ts";
import { ServiceManager } from "../src/control/service_manager.ts";
import type { Source } from "../src/stream/source.ts";
import { failureText } from "./failure.ts";
import type { Session } from "./session.ts";

/** How long after samples came the status may be that of before. */
const STATUS_MS = 5000;
/** How often the service manager is asked for more time while starting or stopping takes long, and how much is asked for. */
const ASK_MS = 5000;
const MORE_MS = 60_000;

/** Deviations from the default, for tests. */
export interface ServiceOptions {
  readonly open?: (() => Promise<ServiceManager | undefined>) | undefined;
  readonly statusMs?: number | undefined;
  readonly askMs?: number | undefined;
}

/**
 * Runs `work` as a service: if a service manager started this process, it is told when the service is ready, how it is, that it ends, and
 * why it failed.
 */
export async function asService(
  session: Session,
  work: (service: Service) => Promise<void>,
  options: ServiceOptions = {},
): Promise<void> {
  const { open = () => ServiceManager.open() } = options;
  const service = new Service(session, await open(), options);
  try {
    await work(service);
  } catch (error) {
    service.fail(error);
    throw error;
  } finally {
    service.close();
  }
}

/** Notifications to the service manager; none if there is no manager. */
export class Service {
  readonly #session: Session;
  readonly #manager: ServiceManager | undefined;
  readonly #onOver = (): void => this.#manager?.stopping();
  readonly #statusMs: number;
  readonly #askMs: number;
  #isReady = false;
  #source: Source | undefined;
  /** How often there was something to read, and how often at the last report to the service manager that all is well. */
  #turns = 0;
  #turnsTold = 0;
  #statusTimer: ReturnType<typeof setTimeout> | undefined;
  #watchdogTimer: ReturnType<typeof setTimeout> | undefined;
  #askedMs = performance.now();

  constructor(session: Session, manager: ServiceManager | undefined, { statusMs = STATUS_MS, askMs = ASK_MS }: ServiceOptions) {
    this.#session = session;
    this.#statusMs = statusMs;
    this.#askMs = askMs;
    this.#manager = manager;
    if (!manager) return;
    manager.onProblem = ({ message }) => session.notice(message);
    session.over.addEventListener("abort", this.#onOver, { once: true });
    session.onProgress = () => this.#askForTime();
    const { watchdogMs } = manager;
    if (watchdogMs !== undefined) this.#watch(watchdogMs, watchdogMs / 2);
  }

  /** Tells that everything is set up, and what it does now. */
  ready(status: string): void {
    if (!this.#isReady && !this.#session.over.aborted) this.#manager?.ready();
    this.#isReady = true;
    this.#manager?.status(status);
  }

  /** Reloads. */
  async reload(work: () => void | Promise<void>): Promise<void> {
    this.#manager?.reloading();
    try {
      await work();
    } finally {
      this.#manager?.ready();
    }
  }

  /** The same source, watched: as long as somebody reads what arrives, all is well. */
  follow(source: Source): Source {
    if (!this.#manager) return source;
    this.#source = source;
    return {
      read: () => {
        this.#turns++;
        // While nothing comes nothing changes, and no timer is needed.
        this.#statusTimer ??= setTimeout(() => this.#showStatus(), this.#statusMs);
        return source.read();
      },
      end: () => source.end(),
      close: () => source.close(),
      stats: () => source.stats(),
      get unread() {
        return source.unread;
      },
    };
  }

  /** Tells why the service ends. */
  fail(error: unknown): void {
    const text = failureText(error) ?? `${error instanceof Error ? error.message : error}`;
    this.#manager?.failed(text, error instanceof SystemError ? error.errno : undefined);
  }

  /** Releases everything. */
  close(): void {
    const { failure } = this.#session;
    if (failure !== undefined) this.#manager?.status(failure);
    clearTimeout(this.#statusTimer);
    clearTimeout(this.#watchdogTimer);
    this.#session.over.removeEventListener("abort", this.#onOver);
    this.#session.onProgress = () => {};
    this.#manager?.close();
  }

  #showStatus(): void {
    this.#statusTimer = undefined;
    if (!this.#session.over.aborted) this.#manager?.status(this.#session.account);
  }

  /**
   * Says twice in `periodMs` that all is well, unless something has arrived and nobody has read anything since the last time: this timer
   * would continue although the stream is stuck. If so it looks more often, because that may be over in a moment.
   */
  #watch(periodMs: number, afterMs: number): void {
    this.#watchdogTimer = setTimeout(() => {
      const isStuck = this.#turns === this.#turnsTold && this.#source?.unread === true;
      if (!isStuck) {
        this.#turnsTold = this.#turns;
        this.#manager?.alive();
        if (this.#source) this.#showStatus();
      }
      this.#watch(periodMs, isStuck ? periodMs / 16 : periodMs / 2);
    }, afterMs);
  }

  /** Something that takes long has got further. */
  #askForTime(): void {
    const nowMs = performance.now();
    if (nowMs - this.#askedMs < this.#askMs) return;
    this.#askedMs = nowMs;
    this.#manager?.extendTimeout(MORE_MS);
  }
}
