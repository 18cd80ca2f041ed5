import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';
import { type Browser, chromium, type Page } from 'playwright-core';

/** The system's Chromium that starts, or what CHROMIUM_PATH says; undefined where there is none. */
export const chromiumPath = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path && spawnSync(path, ['--version']).status === 0);

const root = fileURLToPath(new URL('../', import.meta.url));

// What package.json and a bundler would resolve, for an unbundled page.
const imports = {
  '#platform': '/src/platform/browser.ts',
  valibot: '/node_modules/valibot/dist/index.mjs',
  '@noble/hashes/': '/node_modules/@noble/hashes/',
  '@huggingface/tokenizers': '/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs',
};

const index = `<!doctype html><title>Headlight tests</title>
<script type="importmap">${JSON.stringify({ imports })}</script>`;

// WebGPU on the software adapter that comes with Chromium.
const webgpuFlags = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

/** Chromium without a window, on its software adapter. */
export const launchChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox', ...webgpuFlags] });

/** The entries of models and of SAVs as one file, for a page or a worker, which has no import map. Served as `/bundle.js`. */
let bundle: Promise<string> | undefined;
async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: "export * from './src/index.ts'; export * from './src/sav/index.ts'", resolveDir: root },
    bundle: true,
    format: 'esm',
    platform: 'browser', // resolves the condition `browser`
    conditions: ['headlight-source'],
    write: false,
  });
  return outputFiles[0].text;
}

/** A page whose origin is the repository: TypeScript is served as JavaScript, under its own name. */
export class RepositoryPage {
  readonly page: Page;
  readonly #browser: Browser;
  readonly #server: Server;

  private constructor(page: Page, browser: Browser, server: Server) {
    this.page = page;
    this.#browser = browser;
    this.#server = server;
  }

  static async open(): Promise<RepositoryPage> {
    const server = createServer((request, response) => void serve(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const browser = await launchChromium();
    const page = await (await browser.newContext()).newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return new RepositoryPage(page, browser, server);
  }

  /** Another page of the same origin and profile. */
  async otherTab(): Promise<Page> {
    const page = await this.page.context().newPage();
    await page.goto(this.page.url());
    return page;
  }

  async close(): Promise<void> {
    await this.#browser.close();
    this.#server.close();
  }
}

/** Paths that begin with /no-range/ ignore byte ranges, those with /no-size/ do not tell a length, as some servers. */
async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = decodeURIComponent(new URL(request.url!, 'http://x').pathname);
  if (url === '/') {
    response.setHeader('Content-Type', 'text/html').end(index);
    return;
  }
  if (url === '/bundle.js') {
    bundle ??= bundled();
    response.setHeader('Content-Type', 'text/javascript').end(await bundle);
    return;
  }
  const [, kind, path] = /^\/(?:(no-range|no-size)\/)?(.*)$/.exec(url)!;
  const file = root + path;
  if (!existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  let bytes: Buffer = readFileSync(file);
  if (file.endsWith('.ts'))
    bytes = Buffer.from((await transform(bytes.toString(), { loader: 'ts', target: 'es2022' })).code);
  if (/\.(ts|m?js)$/.test(file)) response.setHeader('Content-Type', 'text/javascript');
  const range = kind === 'no-range' ? null : /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  if (range) {
    const [start, end] = [Number(range[1]), Number(range[2]) + 1];
    if (start >= bytes.length) {
      response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
      return;
    }
    response.writeHead(206, { 'Content-Range': `bytes ${start}-${Math.min(end, bytes.length) - 1}/${bytes.length}` });
    bytes = bytes.subarray(start, end);
  } else if (kind !== 'no-size') response.setHeader('Content-Length', bytes.length);
  response.end(request.method === 'HEAD' ? undefined : bytes);
}
