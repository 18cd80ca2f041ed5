// Servers of folders, as users meet them.
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  name: string;
  method: string;
  range?: string;
  file: Buffer | undefined;
  response: ServerResponse;
}

export interface ServedFolder {
  readonly url: string;
  /** What it was asked: `GET config.json`, `GET model.safetensors bytes=100-`. */
  readonly log: string[];
  answer: (asked: Asked) => void;
  close(): void;
}

/** A folder behind a server, which any page may read. */
export async function serveFolder(path: string, answer: (asked: Asked) => void): Promise<ServedFolder> {
  const log: string[] = [];
  const server = createServer(async ({ url, method, headers }: IncomingMessage, response) => {
    const name = decodeURIComponent(url!.slice(1));
    const file = await readFile(`${path}/${name}`).catch(() => undefined);
    log.push(`${method} ${name}${headers.range ? ` ${headers.range}` : ''}`);
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Cache-Control', 'no-store');
    served.answer({ name, method: method!, range: headers.range, file, response });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  const served: ServedFolder = { url: `http://127.0.0.1:${port}/`, log, answer, close };
  return served;
}

/** Without byte ranges. */
export function plain({ file, response }: Asked): void {
  if (!file) response.writeHead(404).end('none');
  else response.writeHead(200, { 'Content-Length': file.length }).end(file);
}

export function ranged(asked: Asked): void {
  const { range, file, response } = asked;
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  if (!file || first === undefined) {
    plain(asked);
    return;
  }
  const end = last ? Number(last) + 1 : file.length;
  response
    .writeHead(206, {
      'Content-Length': end - Number(first),
      'Content-Range': `bytes ${first}-${end - 1}/${file.length}`,
    })
    .end(file.subarray(Number(first), end));
}

/** The head of an answer for weights, from where they are asked for; the body is the caller's. Settings are given as they are. */
export function weightsHead(
  asked: Asked,
  headers: Record<string, string> = {},
): { first: number; file: Buffer } | undefined {
  const { name, file, range, response } = asked;
  if (!file || !name.endsWith('.safetensors')) {
    plain(asked);
    return undefined;
  }
  const first = Number(/\d+/.exec(range ?? '0')![0]);
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'Content-Length': file.length - first,
    ...(range && { 'Content-Range': `bytes ${first}-${file.length - 1}/${file.length}` }),
  });
  return { first, file };
}

/** So many bytes of the answer, and then the connection is cut. @param after milliseconds: what a reader has not taken by then is lost. */
export const cut = (response: ServerResponse, bytes: Buffer, after = 5) =>
  response.write(bytes, () => setTimeout(() => response.destroy(), after));
