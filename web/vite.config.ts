// The page: `npm run web` serves it, `npm run web:build` writes it into web/dist for any static host.
import { cpSync, createReadStream, existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const checkpoint = fileURLToPath(new URL('../weights/tiny-llava', import.meta.url));

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

const withPolicy: Plugin = {
  name: 'content-security-policy',
  apply: 'build', // the development server's own scripts are inline
  transformIndexHtml: () => [
    { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: policy }, injectTo: 'head-prepend' },
  ],
};

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './', // a folder of any host
  plugins: [embedded, withPolicy],
  resolve: { conditions: ['headlight-source', 'browser', 'module', 'import', 'default'] },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: { target: 'es2022', modulePreload: { polyfill: false } },
});
