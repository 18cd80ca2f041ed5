// Keeps the page's files in the browser, so that it opens without a network. A version is kept whole and as it was built, or not at all:
// each file is held against the hash that the build has written into this file (web/vite.config.ts). While a version is in use, its
// files come from what is kept, so that no page is put together of two versions.

/** SHA-256 of each file of this version, by its name. */
declare const files: Readonly<Record<string, string>>;

/** An event that the browser waits for. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

/** What this file needs of ServiceWorkerGlobalScope: the DOM's types do not have it. */
interface Scope {
  readonly registration: ServiceWorkerRegistration;
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

const worker = self as unknown as Scope;
const { scope } = worker.registration;
/** A checkpoint is asked for files that it may have. This one has those of the list, and no others of another version. */
const isOfCheckpoint = /^tiny-llava\/(?!tasks\/)/;
/** Caches are of an origin, which may have several such pages. */
const prefix = `headlight ${scope} `;

const hex = (bytes: ArrayBuffer) =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
const sha256 = async (bytes: BufferSource) => hex(await crypto.subtle.digest('SHA-256', bytes));

/** The cache of this version. */
const cache = sha256(new TextEncoder().encode(JSON.stringify(files))).then((hash) => ({ name: prefix + hash }));

/** @throws where the server gives another file than was built: it is in the middle of an update. The browser tries again later. */
async function keep(file: string, hash: string, into: Cache): Promise<void> {
  const url = new URL(file, scope);
  const response = await fetch(url, { cache: 'no-cache' });
  if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
  const bytes = await response.arrayBuffer();
  if ((await sha256(bytes)) !== hash) throw new Error(`${url}: not the file of this version`);
  const headers = {
    'Content-Type': response.headers.get('Content-Type') ?? '',
    'Content-Length': `${bytes.byteLength}`,
  };
  await into.put(url, new Response(bytes, { headers }));
}

async function keepAll(): Promise<void> {
  const { name } = await cache;
  const into = await caches.open(name);
  try {
    await Promise.all(Object.entries(files).map(([file, hash]) => keep(file, hash, into)));
  } catch (error) {
    await caches.delete(name);
    throw error;
  }
}

async function forgetOthers(): Promise<void> {
  const { name } = await cache;
  const others = (await caches.keys()).filter((each) => each.startsWith(prefix) && each !== name);
  await Promise.all(others.map((each) => caches.delete(each)));
}

/** A file of this version; by the network where the browser has removed it. */
async function answer(file: string, request: Request): Promise<Response> {
  const { name } = await cache;
  return (await caches.match(new URL(file, scope), { cacheName: name })) ?? fetch(request);
}

worker.addEventListener('install', (event) => event.waitUntil(keepAll()));
worker.addEventListener('activate', (event) => event.waitUntil(forgetOthers()));
worker.addEventListener('fetch', (event) => {
  const { origin, pathname } = new URL(event.request.url);
  if (event.request.method !== 'GET' || !(origin + pathname).startsWith(scope)) return;
  const file = decodeURIComponent((origin + pathname).slice(scope.length)) || 'index.html';
  if (Object.hasOwn(files, file)) event.respondWith(answer(file, event.request));
  else if (isOfCheckpoint.test(file)) event.respondWith(Promise.resolve(new Response(null, { status: 404 })));
});
worker.addEventListener('message', ({ data }) => {
  if (data === 'take over') void worker.skipWaiting();
});
