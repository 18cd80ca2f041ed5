// Ours on the checkpoints of fuzz.py, from picture files and prompts to logits and greedy ids:
// npx tsx -C headlight-source test/reference/fuzz.ts FOLDER [part of a checkpoint's name]
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { openFolder } from '#platform';
import { openGpu } from '../../src/gpu/gpu.ts';
import { DualEncoder } from '../../src/model/dual-encoder.ts';
import { generate } from '../../src/model/generation/generate.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { type Expected, fixturePath, modelInput, readJsonFixture, readTensors } from '../fixtures.ts';
import { relativeError } from '../kernels/check.ts';

interface Entry {
  images: string[];
  videos?: { frames: string[]; fps: number }[];
  visuals?: string[];
  texts: string[];
  prompt: string;
  generated_ids: number[];
  min_margin: number;
}

const tolerance = 1e-4;
const picture = (file: string) => new Uint8Array(readFileSync(fixturePath(`images/${file}`)));
/** As an error: 0 or 1. */
const differ = (a: ArrayLike<number>, b: ArrayLike<number>) => Number(String(a) !== String(b));

async function generative(vlm: VisionLanguageModel, entry: Entry, values: Map<string, Expected>) {
  const videos = entry.videos?.map(({ frames, fps }) => ({ frames: frames.map(picture), fps }));
  const input = await vlm.input({ images: entry.images.map(picture), videos, prompt: entry.prompt, raw: true });
  const theirs = modelInput(values, entry.visuals);
  const errors = [['token ids', differ(input.inputIds, theirs.inputIds)]] as [string, number][];
  for (const [i, { pixels }] of theirs.visuals.entries())
    errors.push([`pixels ${i}`, relativeError(input.visuals[i].pixels, pixels)]);
  const hooks = [...values.keys()].filter((name) => name.includes('hook_'));
  const cache = await vlm.runWithCache(input, { namesFilter: [...hooks, 'logits'] });
  for (const name of hooks) errors.push([name, relativeError(cache.get(name)!.data, values.get(name)!.data)]);
  const last = values.get('last_logits')!.data;
  errors.push(['logits', relativeError(cache.get('logits')!.data.subarray(-last.length), last)]);
  const ids: number[] = [];
  for await (const id of generate(vlm, input, { maxNewTokens: 16, endTokens: vlm.endTokens })) ids.push(id);
  const wanted = entry.generated_ids.slice(0, vlm.endTokens.has(entry.generated_ids.at(-1)!) ? -1 : undefined);
  // Where two logits are that near, either may win.
  if (entry.min_margin > tolerance) errors.push(['greedy ids', differ(ids, wanted)]);
  return errors;
}

async function dual(encoder: DualEncoder, { images, texts }: Entry, values: Map<string, Expected>) {
  const image_embeds = await encoder.imageEmbeddings(images.map(picture));
  const text_embeds = await encoder.textEmbeddings(texts);
  const logits_per_image = encoder.logits(image_embeds, text_embeds);
  return Object.entries({ image_embeds, text_embeds, logits_per_image }).map(([name, rows]): [string, number] => {
    const flat = rows.flatMap((row) => [...row]);
    return [name, relativeError(flat, values.get(name)!.data)];
  });
}

const gpu = await openGpu();
const [root, part = ''] = process.argv.slice(2);
for (const name of readdirSync(root).filter((name) => name.includes(part))) {
  const folder = resolve(root, name);
  const { inputs } = readJsonFixture<{ inputs: Record<string, Entry> }>(`${folder}/expected.json`);
  const tensors = [...readTensors(`${folder}/expected.safetensors`)];
  const errors: [string, number][] = [];
  try {
    const model = await (inputs.pairs ? DualEncoder : VisionLanguageModel).load(await openFolder(folder), { gpu });
    for (const [key, entry] of Object.entries(inputs)) {
      const own = tensors.filter(([name]) => name.startsWith(`${key}/`));
      const values = new Map(own.map(([name, tensor]) => [name.slice(key.length + 1), tensor]));
      const run = model instanceof DualEncoder ? dual(model, entry, values) : generative(model, entry, values);
      errors.push(...(await run).map(([what, error]): [string, number] => [`${key} ${what}`, error]));
    }
    model.destroy();
  } catch (e) {
    errors.push([(e as Error).message, Number.POSITIVE_INFINITY]);
  }
  const [what, worst] = errors.reduce((a, b) => (b[1] > a[1] ? b : a));
  const wrong = errors.filter(([, error]) => !(error <= tolerance)).map(([what, error]) => `\n  ${what}: ${error}`);
  console.log(`${name}: worst ${worst.toExponential(1)} (${what})${wrong.join('')}`);
}
gpu.dispose();
