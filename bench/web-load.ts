// How a page loads a checkpoint, in Chromium on its software adapter: npx tsx -C headlight-source bench/web-load.ts [--rounds 5] [--json]
//
// The same synthetic checkpoint (bf16, 0.5 GB) comes from a server on this machine, from Blobs (picked files), and, without a model, by a
// plain GET that drops what it reads; in turns, in one page. Target: by address at most twice the time of Blobs.
//
// `peakMiB` is what all of Chromium's processes hold at most while it loads (without mapped files; what they share, once), less what they held before, less
// the weights, which on a software adapter are memory of its processes. What is left is ours, Chromium's buffers for the network, and what it uploads
// from. Promise: the largest tensor + 64 MiB.
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../src/verify/benchmark.ts';
import { RepositoryPage } from '../test/chromium.ts';
import { plain, serveFolder } from '../test/served-folder.ts';
import { peakOfChildren } from './child-memory.ts';
import { writeSyntheticCheckpoint } from './synthetic-checkpoint.ts';

const MiB = 2 ** 20;
const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, json: { type: 'boolean' } },
});

const folder = mkdtempSync(join(tmpdir(), 'headlight-web-load-'));
const embedded = 'weights/tiny-llava';
const vocabulary = JSON.parse(readFileSync(join(embedded, 'config.json'), 'utf8')).text_config.vocab_size;
const [width, inner, layers] = [1024, 4096, 14];
writeSyntheticCheckpoint(folder, {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: vocabulary,
  hidden_size: width,
  intermediate_size: inner,
  num_hidden_layers: layers,
  num_attention_heads: 16,
  num_key_value_heads: 16,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  torch_dtype: 'bfloat16',
});
for (const name of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])
  copyFileSync(join(embedded, name), join(folder, name));
const weights = statSync(join(folder, 'model.safetensors')).size;
const largest = 2 * width * inner;

const served = await serveFolder(folder, plain);
const browser = await RepositoryPage.open();
const { page } = browser;
await page.setContent('<input type="file" multiple>');
await page.setInputFiles(
  'input',
  readdirSync(folder).map((name) => join(folder, name)),
);
await page.evaluate(`(async () => {
  const { openGpu, VisionLanguageModel } = await import(self.origin + '/bundle.js');
  const gpu = await openGpu();
  const loaded = async (from) => (await VisionLanguageModel.load(from, { gpu })).destroy();
  self.ways = {
    address: () => loaded(${JSON.stringify(served.url)}),
    blobs: () => loaded([...document.querySelector('input').files]),
    get: async () => {
      const { body } = await fetch(${JSON.stringify(`${served.url}model.safetensors`)}, { cache: 'no-store' });
      for (const reader = body.getReader(); !(await reader.read()).done; );
    },
  };
})()`);

const ways = ['address', 'blobs', 'get'] as const;
/** What was freed goes back. */
const devtools = await page.context().newCDPSession(page);
async function settle(): Promise<void> {
  await devtools.send('HeapProfiler.collectGarbage');
  await new Promise((done) => setTimeout(done, 1000));
}

/** Seconds that it takes. */
const run = async (way: (typeof ways)[number]) =>
  (await page.evaluate(
    `(async () => { const start = performance.now(); await ways.${way}(); return (performance.now() - start) / 1000; })()`,
  )) as number;

const found = Object.fromEntries(ways.map((way) => [way, { seconds: [] as number[], peakMiB: 0 }]));
try {
  for (let round = 0; round <= Number(options.rounds); round++)
    for (const way of ways) {
      await settle();
      const seconds = await run(way);
      await settle();
      const before = await peakOfChildren(async () => {});
      const held = (await peakOfChildren(() => run(way))) - before;
      if (round === 0) continue; // pipelines, code
      found[way].seconds.push(seconds);
      found[way].peakMiB = Math.max(found[way].peakMiB, (held - (way === 'get' ? 0 : weights)) / MiB);
    }
} finally {
  await browser.close();
  served.close();
  rmSync(folder, { recursive: true });
}
const report = {
  weightsMiB: weights / MiB,
  promiseMiB: largest / MiB + 64,
  ...Object.fromEntries(
    ways.map((way) => [way, { seconds: median(found[way].seconds), peakMiB: Math.round(found[way].peakMiB) }]),
  ),
  addressOverBlobs: median(found.address.seconds) / median(found.blobs.seconds),
};
if (options.json) process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
else console.log(report);
