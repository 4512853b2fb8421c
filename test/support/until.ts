/** Asks again and again until the answer is yes. */
export async function until(what: string, yes: () => boolean, ms = 20_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!yes()) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
