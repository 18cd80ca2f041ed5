// The page: `npm run web` serves it, `npm run web:build` writes it into web/dist for any static host.
import { createHash } from 'node:crypto';
import { cpSync, createReadStream, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const checkpoint = fileOf('../weights/tiny-llava');

/** Nothing from elsewhere but checkpoints: a page that is served with this cannot send pictures away by mistake. */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "media-src 'self' blob:",
  "connect-src 'self' blob: https:",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

let outFolder: string;

/** The embedded checkpoint beside the page, in tiny-llava/. */
const embedded: Plugin = {
  name: 'embedded-checkpoint',
  configResolved({ root, build }) {
    outFolder = resolve(root, build.outDir);
  },
  configureServer(server) {
    server.middlewares.use('/tiny-llava', (request, response, next) => {
      const file = fileURLToPath(new URL(`.${new URL(request.url!, 'http://x').pathname}`, `file://${checkpoint}/`));
      if (!file.startsWith(`${checkpoint}/`) || !existsSync(file) || !statSync(file).isFile()) return next();
      response.setHeader('Content-Length', statSync(file).size);
      createReadStream(file).pipe(response);
    });
  },
  closeBundle() {
    cpSync(checkpoint, resolve(outFolder, 'tiny-llava'), { recursive: true });
  },
};

/** Pictures of sample tasks, which are only loaded when one is chosen; and what no program reads. */
const notKept = /^tiny-llava\/(tasks\/(?!tasks\.json$)|README|evaluation|training)|^service-worker\.js$/;

/** Writes into the service worker which files the page has, once all are there. */
const offline: Plugin = {
  name: 'offline',
  apply: 'build',
  closeBundle() {
    const names = readdirSync(outFolder, { recursive: true, encoding: 'utf8' }).map((name) =>
      name.replaceAll('\\', '/'),
    );
    const isKept = (name: string) => !notKept.test(name) && statSync(resolve(outFolder, name)).isFile();
    const hash = (name: string) =>
      createHash('sha256')
        .update(readFileSync(resolve(outFolder, name)))
        .digest('hex');
    const files = Object.fromEntries(
      names
        .filter(isKept)
        .sort()
        .map((name) => [name, hash(name)]),
    );
    const worker = resolve(outFolder, 'service-worker.js');
    writeFileSync(worker, `const files = ${JSON.stringify(files)};\n${readFileSync(worker, 'utf8')}`);
  },
};

const withPolicy: Plugin = {
  name: 'content-security-policy',
  apply: 'build', // the development server's own scripts are inline
  transformIndexHtml: () => [
    { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: policy }, injectTo: 'head-prepend' },
  ],
};

export default defineConfig({
  root: fileOf('.'),
  base: './', // a folder of any host
  plugins: [embedded, offline, withPolicy], // in this order: the checkpoint is one of the files that are kept
  resolve: { conditions: ['headlight-source', 'browser', 'module', 'import', 'default'] },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: [fileOf('index.html'), fileOf('src/offline/service-worker.ts')],
      output: {
        // A service worker has one address, beside the page.
        entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js'),
      },
    },
  },
});
