import { FileError } from './errors.ts';
import { checkName, checkRange } from './file-name.ts';
import { folderOf } from './folder-source.ts';
import type { Folder, FolderSource } from './types.ts';

/**
 * A folder behind a URL, read by HTTP requests for byte ranges.
 * @param location absolute, or relative to the page.
 * @throws FileError when reading: the file is missing, or the server has no byte ranges.
 */
export async function openFolder(location: string | URL): Promise<Folder> {
  const base = new URL(location, self.location.href);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const url = (name: string) => {
    const at = new URL(base);
    at.pathname += checkName(name, base.href).split('/').map(encodeURIComponent).join('/');
    return at.href;
  };
  return {
    location: base.href,
    has: async (name) => exists(url(name)),
    size: async (name) => sizeOf(url(name)),
    read: async (name, start = 0, end) =>
      start === 0 && end === undefined ? readFileBytes(url(name)) : readRange(url(name), start, end),
  };
}

/**
 * What a checkpoint may be named by. `tiny-llava` is fetched from beside this module, which works where the package's files
 * are served as they are (a CDN of npm packages, a server without a bundler). @throws FileError as `openFolder`.
 */
export const openSource = (source: FolderSource): Promise<Folder> =>
  folderOf(source, openFolder, new URL('../../', import.meta.url));

/**
 * A whole file.
 * @throws FileError naming it.
 */
export async function readFileBytes(location: string | URL): Promise<Uint8Array> {
  const url = new URL(location, self.location.href).href;
  const response = await request(url);
  if (!response.ok) throw refused(url, response);
  return bytesOf(url, response);
}

/**
 * SHA-256 of a file, as lower-case hexadecimal digits.
 * @throws FileError naming it.
 */
export async function fileSha256(location: string | URL): Promise<string> {
  const bytes = (await readFileBytes(location)) as Uint8Array<ArrayBuffer>;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function exists(url: string): Promise<boolean> {
  const { ok, status } = await request(url, { method: 'HEAD' });
  if (ok) return true;
  if (status === 404 || status === 410 || status === 403) return false;
  throw new FileError(`${url}: the server answers HEAD with ${status}`);
}

/** From a HEAD request, unless the answer is compressed (then its length is not the file's): from a one-byte range. */
async function sizeOf(url: string): Promise<number> {
  const head = await request(url, { method: 'HEAD' });
  if (!head.ok) throw refused(url, head);
  const length = head.headers.get('Content-Length');
  if (length !== null && !head.headers.get('Content-Encoding')) return parseSize(url, length);
  const response = await request(url, { headers: { Range: 'bytes=0-0' } });
  await response.body?.cancel();
  const total = /\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '')?.[1];
  if (total === undefined) throw new FileError(`${url}: the server says no size, neither by HEAD nor by byte range`);
  return parseSize(url, total);
}

function parseSize(url: string, text: string): number {
  const size = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(size))
    throw new FileError(`${url}: the server says its size is ${text}`);
  return size;
}

async function readRange(url: string, start: number, end: number | undefined): Promise<Uint8Array> {
  const to = end ?? (await sizeOf(url));
  checkRange(url, start, to, Number.MAX_SAFE_INTEGER);
  if (start === to) return new Uint8Array();
  const response = await request(url, { headers: { Range: `bytes=${start}-${to - 1}` } });
  if (response.status !== 206) {
    await response.body?.cancel();
    if (response.status === 416) checkRange(url, start, to, await sizeOf(url));
    if (!response.ok) throw refused(url, response);
    throw new FileError(`${url}: the server ignores byte ranges (HTTP Range); use a server that has them`);
  }
  const bytes = await bytesOf(url, response);
  if (bytes.length !== to - start)
    throw new FileError(`${url}: bytes ${start} to ${to} were asked for, the server sent ${bytes.length} bytes`);
  return bytes;
}

async function request(url: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (e) {
    throw new FileError(
      `${url}: the request failed (${(e as Error).message}); is the server up, and does it allow this page (CORS)?`,
    );
  }
}

async function bytesOf(url: string, response: Response): Promise<Uint8Array> {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (e) {
    throw new FileError(`${url}: the connection broke off (${(e as Error).message})`);
  }
}

function refused(url: string, { status }: Response): FileError {
  return new FileError(status === 404 ? `${url}: there is no such file` : `${url}: the server answers ${status}`);
}
