import { FileError } from './errors.ts';
import { maxFileBytes, tooLarge } from './image-source.ts';

/**
 * The file behind an `http:`, `https:`, `data:` or `blob:` URL, no more of it than a picture may have.
 * @throws FileError naming it; ImageError where it is too large.
 */
export async function fetchImage(url: string, label: string): Promise<Uint8Array> {
  const failed = (what: string) => new FileError(`${label}: ${what}`);
  const response = await fetch(url).catch((e: Error) => {
    throw failed(`the request failed (${e.message})`);
  });
  if (!response.ok || !response.body) throw failed(`the server answers ${response.status}`);
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((e: Error) => {
      throw failed(`the connection broke off (${e.message})`);
    });
    if (done) break;
    size += value.length;
    if (size > maxFileBytes) {
      await reader.cancel().catch(() => {});
      throw tooLarge(label, size);
    }
    parts.push(value);
  }
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}
