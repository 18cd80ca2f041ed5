import { nextChunk } from './next-chunk.ts';
import type { StallWatch } from './stall.ts';

/**
 * All bytes of an answer.
 * @param how.signal ends it. @param how.watch is told what comes. @param how.most bytes that it may have. @param how.tooMany the error
 *   for more of them.
 * @throws what the connection throws; the signal's reason; `tooMany`.
 */
export async function wholeAnswer(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  how: {
    readonly signal: AbortSignal;
    readonly watch: StallWatch;
    readonly most: number;
    readonly tooMany: (size: number) => Error;
  },
): Promise<Uint8Array> {
  const reader = body.getReader();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await nextChunk(reader, how.signal);
      if (done) break;
      how.watch.count(value.length);
      size += value.length;
      if (size > how.most) throw how.tooMany(size);
      parts.push(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
