/** What comes, unless the signal aborts before. @throws what `coming` throws; the signal's reason. */
export async function unlessAborted<T>(coming: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([coming, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * The next bytes of an answer, or its end.
 *
 * `fetch` should reject a read once its signal aborts. Node 20's now and then loses the end of an answer that came without its
 * length, and then its reader never settles, abort or not (test/cli/download-faults.test.ts met it under load). So the signal is
 * listened to here as well.
 *
 * @throws what the reader throws; the signal's reason when aborted.
 */
export async function nextChunk(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal,
): Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>> {
  signal.throwIfAborted();
  return unlessAborted(reader.read(), signal);
}
