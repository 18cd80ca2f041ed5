// A server that speaks what `headlight download` uses of a hub's API, as the real one does: a commit for a revision, a listing
// in pages, small files behind a relative redirect on the hub itself, large ones behind a redirect to another origin.
import { createHash } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

export interface Served {
  bytes: Uint8Array;
  /** Large: listed with a SHA-256, served by the CDN. */
  lfs?: boolean;
  /** Sizes and hashes as listed, where they are to differ from the truth. */
  listed?: { size?: number; hash?: string };
}

/** How a request for a file's content goes wrong. */
export type Fault =
  | { cutAfter: number }
  | { flipByte: number }
  | { status: number; retryAfter?: string }
  /** Another answer in its place, with 200: a network's sign-in page, a proxy's words. */
  | { page: string; type: string; withLength?: boolean }
  /** This request only: ranges are not known, or the range is another than asked for, or its total is. */
  | 'whole'
  | { shiftRange: number }
  | { total: number }
  | 'gzip'
  | { redirect: string }
  /** So many bytes, each after so many milliseconds, then no more. */
  | { drip: number; ms: number }
  | { endEarlyAt: number }
  | { extra: number }
  | { stallAt: number }
  | 'hang';

export interface Request {
  host: 'hub' | 'cdn';
  path: string;
  headers: IncomingHttpHeaders;
}

export class FakeHub {
  readonly repo = 'someone/tiny';
  commit = 'a'.repeat(40);
  files = new Map<string, Served>();
  /** By file; each is used once, in order. */
  faults: Record<string, Fault[]> = {};
  /** For requests of the listing, in order; undefined for none. */
  listFaults: (Fault | undefined)[] = [];
  ignoreRange = false;
  /** What the hub answers to everything of a kind. */
  refusal?: { status: number; code?: string; where: 'api' | 'content' };
  requests: Request[] = [];
  endpoint = '';
  #cdn = '';
  readonly #servers: Server[] = [];

  async start(): Promise<this> {
    this.endpoint = await this.#listen('hub', (request, response) => this.#hub(request, response));
    this.#cdn = await this.#listen('cdn', (request, response) => this.#content(request, response));
    return this;
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  }

  /** Forgets what was asked, and serves without faults. */
  reset(files: Record<string, Served>): void {
    this.files = new Map(Object.entries(files));
    Object.assign(this, {
      commit: 'a'.repeat(40),
      faults: {},
      listFaults: [],
      ignoreRange: false,
      refusal: undefined,
      requests: [],
    });
  }

  /** Content requests, as `path` or `path from N`. */
  get fetched(): string[] {
    return this.requests
      .filter(({ path }) => path.startsWith('/content/'))
      .map(({ path, headers }) => {
        const from = /bytes=(\d+)-/.exec(headers.range ?? '')?.[1];
        return decodeURIComponent(path.slice('/content/'.length)) + (from === undefined ? '' : ` from ${from}`);
      });
  }

  async #listen(host: Request['host'], handle: (request: IncomingMessage, response: ServerResponse) => void) {
    const server = createServer((request, response) => {
      this.requests.push({ host, path: request.url!, headers: request.headers });
      handle(request, response);
    });
    this.#servers.push(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  #hub(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url!, this.endpoint);
    const isApi = pathname.startsWith('/api/');
    const fault = isApi ? this.listFaults.shift() : undefined;
    if (fault && misled(fault, response)) return;
    if (this.refusal && this.refusal.where === (isApi ? 'api' : 'content')) {
      const { status, code } = this.refusal;
      response.writeHead(status, code ? { 'x-error-code': code } : {}).end(JSON.stringify({ error: 'no' }));
    } else if (pathname.startsWith(`/api/models/${this.repo}/revision/`)) {
      json(response, { _id: 'x', id: this.repo, sha: this.commit });
    } else if (pathname === `/api/models/${this.repo}/tree/${this.commit}`) {
      const page = Number(searchParams.get('page') ?? 0);
      const entries = [...this.files].slice(page * 4, page * 4 + 4);
      if ((page + 1) * 4 < this.files.size)
        response.setHeader('link', `<${this.endpoint}${pathname}?page=${page + 1}>; rel="next"`);
      json(response, [{ type: 'directory', path: 'x', size: 0, oid: '' }, ...entries.map(listed)]);
    } else if (pathname.startsWith(`/${this.repo}/resolve/${this.commit}/`)) {
      const name = decodeURIComponent(pathname.split('/').slice(5).join('/'));
      const at = `/content/${encodeURIComponent(name)}`;
      response.writeHead(302, { location: this.files.get(name)?.lfs ? this.#cdn + at : at }).end();
    } else if (pathname.startsWith('/content/')) this.#content(request, response);
    else response.writeHead(404).end();
  }

  #content(request: IncomingMessage, response: ServerResponse): void {
    const name = decodeURIComponent(request.url!.slice('/content/'.length));
    const bytes = this.files.get(name)?.bytes;
    if (!bytes) {
      response.writeHead(404).end();
      return;
    }
    const fault = this.faults[name]?.shift();
    if (fault && misled(fault, response)) return;
    const start =
      this.ignoreRange || fault === 'whole' ? undefined : /bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1];
    const from = Number(start ?? 0);
    let body = Buffer.from(bytes.slice(from));
    const headers: Record<string, string> = {};
    if (start !== undefined) headers['content-range'] = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
    if (fault === 'hang') return;
    if (fault === 'gzip' && start === undefined) {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(body));
      return;
    }
    if (typeof fault === 'object' && start !== undefined) {
      if ('shiftRange' in fault)
        headers['content-range'] = `bytes ${from + fault.shiftRange}-${bytes.length - 1}/${bytes.length}`;
      if ('total' in fault) headers['content-range'] = `bytes ${from}-${bytes.length - 1}/${fault.total}`;
    }
    if (typeof fault === 'string') headers.etag = `"${fault}"`;
    else if (fault && 'drip' in fault) {
      response.writeHead(start === undefined ? 200 : 206, { ...headers, 'content-length': String(body.length) });
      let sent = 0;
      const timer = setInterval(() => {
        if (sent < fault.drip) response.write(body.subarray(sent, ++sent));
      }, fault.ms);
      response.on('close', () => clearInterval(timer));
      return;
    }
    if (typeof fault === 'string') {
      response.writeHead(start === undefined ? 200 : 206, headers).end(body);
      return;
    }
    if (fault && 'flipByte' in fault) body[Math.min(fault.flipByte, body.length - 1)] ^= 1;
    if (fault && 'endEarlyAt' in fault) body = body.subarray(0, fault.endEarlyAt);
    if (fault && 'extra' in fault) body = Buffer.concat([body, Buffer.alloc(fault.extra)]);
    // Where the length is a lie, it is not given: chunks.
    if (!(fault && ('endEarlyAt' in fault || 'extra' in fault))) headers['content-length'] = String(body.length);
    response.writeHead(start === undefined ? 200 : 206, headers);
    if (fault && 'cutAfter' in fault)
      response.write(body.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 20));
    else if (fault && 'stallAt' in fault) response.write(body.subarray(0, fault.stallAt));
    else response.end(body);
  }
}

/** Answers that have nothing to do with what was asked for. @returns whether this fault is one. */
function misled(fault: Fault, response: ServerResponse): boolean {
  if (typeof fault === 'string') return false;
  if ('status' in fault)
    response.writeHead(fault.status, fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter }).end();
  else if ('redirect' in fault) response.writeHead(302, { location: fault.redirect }).end();
  else if ('page' in fault) {
    const length = fault.withLength ? { 'content-length': String(fault.page.length) } : {};
    response.writeHead(200, { 'content-type': fault.type, ...length });
    response.write(fault.page);
    response.end();
  } else return false;
  return true;
}

const hex = (algorithm: string, ...parts: (string | Uint8Array)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash(algorithm)).digest('hex');

function listed([path, { bytes, lfs, listed }]: [string, Served]) {
  const size = listed?.size ?? bytes.length;
  if (!lfs) return { type: 'file', path, size, oid: listed?.hash ?? hex('sha1', `blob ${bytes.length}\0`, bytes) };
  const oid = listed?.hash ?? hex('sha256', bytes);
  return {
    type: 'file',
    path,
    size,
    oid: 'b'.repeat(40),
    lfs: { oid, size, pointerSize: 130 },
    xetHash: 'c'.repeat(64),
  };
}

const json = (response: ServerResponse, value: unknown) =>
  response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
