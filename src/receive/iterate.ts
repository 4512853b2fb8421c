/**
 * Iterates over what `read` returns, up to its first `undefined`; leaving the loop calls `close`. Written by hand: an async generator would
 * resolve each value an additional time.
 */
export function iterate<Value>(
  read: () => Value | undefined | Promise<Value | undefined>,
  close: () => Promise<void>,
): AsyncIterableIterator<Value, undefined> {
  return {
    [Symbol.asyncIterator](): AsyncIterableIterator<Value, undefined> {
      return this;
    },
    next: async (): Promise<IteratorResult<Value, undefined>> => {
      const value: Value | undefined = await read();
      return value === undefined ? { done: true, value: undefined } : { done: false, value };
    },
    return: async () => {
      await close();
      return { done: true, value: undefined };
    },
  };
}
