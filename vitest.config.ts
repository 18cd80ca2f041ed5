import { readdirSync, readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const all = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((file) => `test/${file.replaceAll('\\', '/')}`)
  .filter((file) => file.endsWith('.test.ts'));

/** Tests without a GPU that take seconds: time limits that pass, other programs, thousands of sizes; or that replace modules. */
const slow = [
  'api',
  'bundles',
  'model/adapter-fit',
  'model/config-bounds',
  'model/geometries',
  'model/processor/jinja-limits',
  'model/processor/tokenizer-hostile',
  'model/sizes',
  'platform/bounded',
  'platform/decode-video',
  'platform/fetch-image',
  'platform/outside',
  'platform/wait',
  'source-maps',
  'types',
  'web/engine',
  'web/queue',
].map((name) => `test/${name}.test.ts`);

/** Where a test belongs (CONTRIBUTING.md). */
function tierOf(file: string): 'unit' | 'slow' | 'gpu' | 'cli' | 'docs' | 'browser' {
  if (slow.includes(file)) return 'slow';
  if (file.startsWith('test/cli/')) return 'cli';
  if (/^test\/(examples|extending)\.test\.ts$/.test(file)) return 'docs';
  const text = readFileSync(file, 'utf8');
  if (/\/(chromium|firefox)\.ts/.test(text)) return 'browser';
  return /\b(useGpu|openGpu|useAnalysed)\b|\/subject\.ts/.test(text) ? 'gpu' : 'unit';
}

const tier = (name: ReturnType<typeof tierOf>) => ({
  extends: true as const,
  // In these tiers modules, and with them the device, are loaded once a worker, not once a file.
  test: { name, include: all.filter((file) => tierOf(file) === name), isolate: !['unit', 'gpu', 'cli'].includes(name) },
});

export default defineConfig({
  // The source's own platform file, not the built one (package.json, "imports").
  resolve: { conditions: ['headlight-source'] },
  ssr: { resolve: { conditions: ['headlight-source'] } },
  test: {
    // Dawn and the Vulkan loader read the process environment, which worker threads only have a copy of.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 120_000,
    projects: [tier('docs'), tier('cli'), tier('browser'), tier('gpu'), tier('slow'), tier('unit')],
  },
});
