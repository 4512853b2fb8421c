/** Waiting for what has to happen, however long a busy machine takes. */

/** Long enough for an emulated processor on a busy machine; nothing waits for it but a test that fails. */
export const PATIENCE_MS = 90_000;

/** Waits for a promise; an error says what did not come. */
export async function soon<Result>(promise: Promise<Result>, what: string | (() => string), ms = PATIENCE_MS): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited in vain for ${typeof what === "string" ? what : what()}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until a condition holds; an error says which one never did. */
export async function until(what: string | (() => string), yes: () => boolean | Promise<boolean>, ms = PATIENCE_MS): Promise<void> {
  const deadline = Date.now() + ms;
  while (!await yes()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${typeof what === "string" ? what : what()}`);
    await pause(20);
  }
}

/** Lets time pass. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
