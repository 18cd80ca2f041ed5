// End to end: a small LLaVA with Headlight and with transformers.js on WebGPU, the same weights and prompt.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { env, LlavaForConditionalGeneration, Tensor } from '@huggingface/transformers';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { generate } from '../../src/model/generation/generate.ts';
import { loadModel } from '../../src/model/load-model.ts';
import type { Model } from '../../src/model/model.ts';
import { openFolder } from '../../src/platform/node.ts';
import { promptInput, writeCheckpoint } from './checkpoint.ts';
import { logitTolerance, type ModelRow, type Turn } from './turns.ts';

const newTokens = 12;
const batch = 4;

/** transformers.js with each of two decoders, one after the other, beside ours. */
export async function measureModel(gpu: Gpu, rounds: number, onProgress: (text: string) => void): Promise<ModelRow[]> {
  useSameDriver();
  const folder = mkdtempSync(join(tmpdir(), 'headlight-peers-'));
  env.allowRemoteModels = false;
  env.localModelPath = `${folder}/`;
  const rows: ModelRow[] = [];
  try {
    for (const name of ['grouped', 'composed'] as const) {
      onProgress(`transformers.js, ${name} attention`);
      writeCheckpoint(join(folder, name), name === 'grouped');
      const { model, destroy } = await loadModel(await openFolder(join(folder, name)), { gpu });
      const theirs = await LlavaForConditionalGeneration.from_pretrained(name, { device: 'webgpu', dtype: 'fp32' });
      rows.push(
        await measure(`transformers.js, ${name} attention`, us(model), them(theirs as unknown as PeerModel), rounds),
      );
      await theirs.dispose();
      destroy();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return rows;
}

/** ONNX Runtime opens WebGPU by itself; it finds the software adapter that npm installed where ours is told of it. */
function useSameDriver(): void {
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] };
  const swiftShader = sharedObjects.find((file) => file.endsWith('libvk_swiftshader.so'));
  if (swiftShader) process.env.VK_ICD_FILENAMES = join(dirname(swiftShader), 'vk_swiftshader_icd.json');
}

interface Runner {
  /** Logits of the last position. */
  logits(): Promise<Float32Array>;
  generate(): Promise<Pick<Turn, 'first' | 'later'> & { ids: number[] }>;
  forward(): Promise<void>;
  readonly prompts: number;
}

async function measure(peer: string, ours: Runner, theirs: Runner, rounds: number): Promise<ModelRow> {
  const [right, found] = [await ours.logits(), await theirs.logits()];
  const largest = right.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const worst = right.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i])), 0) / largest;
  const [{ ids }, { ids: others }] = [await ours.generate(), await theirs.generate()];
  const row = { peer, worst, sameTokens: ids.join() === others.join(), ours: [] as Turn[], theirs: [] as Turn[] };
  if (!(worst <= logitTolerance && row.sameTokens)) return row;
  for (const runner of [ours, theirs]) await runner.forward();
  for (let round = 0; round < rounds; round++) {
    row.ours.push(await turnOf(ours));
    row.theirs.push(await turnOf(theirs));
  }
  return row;
}

async function turnOf(runner: Runner): Promise<Turn> {
  const { first, later } = await runner.generate();
  const start = performance.now();
  await runner.forward();
  return { first, later, forward: (performance.now() - start) / runner.prompts };
}

/** Notes when tokens come. */
function clock() {
  const start = performance.now();
  const times: number[] = [];
  return {
    token: () => times.push(performance.now() - start),
    spans: () => ({ first: times[0], later: (times[times.length - 1] - times[0]) / (times.length - 1) }),
  };
}

function us(model: Model): Runner {
  const input = promptInput();
  return {
    prompts: batch,
    async logits() {
      const cache = await model.runWithCache(input, { namesFilter: ['logits'], posSlice: -1 });
      return cache.get('logits')!.data;
    },
    async generate() {
      const { token, spans } = clock();
      const ids: number[] = [];
      for await (const id of generate(model, input, { maxNewTokens: newTokens, endTokens: new Set() })) {
        token();
        ids.push(id);
      }
      return { ids, ...spans() };
    },
    async forward() {
      await model.headVectorsAtEnd(Array(batch).fill(input));
    },
  };
}

/** What is used of transformers.js' model, whose types are looser. */
interface PeerModel {
  (inputs: object): Promise<{ logits: { dims: number[]; data: Float32Array } }>;
  generate(options: object): Promise<{ data: Iterable<bigint> }>;
}

function them(model: PeerModel): Runner {
  const { inputIds, visuals } = promptInput();
  const { length } = inputIds;
  const inputs = () => ({
    input_ids: new Tensor('int64', BigInt64Array.from(inputIds, BigInt), [1, length]),
    attention_mask: new Tensor('int64', new BigInt64Array(length).fill(1n), [1, length]),
    pixel_values: new Tensor('float32', (visuals[0] as { pixels: Float32Array }).pixels, [...visuals[0].shape]),
  });
  return {
    prompts: 1,
    async logits() {
      const { logits } = await model(inputs());
      return logits.data.slice(-logits.dims[2]);
    },
    async generate() {
      const { token, spans } = clock();
      let calls = 0;
      // The streamer is given the prompt first.
      const streamer = { put: () => calls++ > 0 && token(), end() {} };
      const all = await model.generate({
        ...inputs(),
        max_new_tokens: newTokens,
        do_sample: false,
        streamer,
      });
      return { ids: [...all.data].map(Number).slice(length), ...spans() };
    },
    async forward() {
      await model(inputs());
    },
  };
}
