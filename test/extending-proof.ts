// Run in a copy of the source that has the blocks of docs/extending.md in it (extending.test.ts): whether each example works.
// What the blocks add is found by its name in the tables, so that this file is also one of the source without them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFolder, readFileBytes } from '#platform';
import { runProgram } from '../src/cli/program.ts';
import type { Dispatch } from '../src/gpu/dispatch.ts';
import { f32 } from '../src/gpu/formats/f32.ts';
import type { Format } from '../src/gpu/formats/format.ts';
import { formats } from '../src/gpu/formats/index.ts';
import { openGpu } from '../src/gpu/gpu.ts';
import type { Kernels } from '../src/kernels/custom/kernels.ts';
import { embeddingProblems } from '../src/kernels/embedding/problem.ts';
import { headResultProblems } from '../src/kernels/head-result/problem.ts';
import { matmulProblems } from '../src/kernels/matmul/problem.ts';
import type { Problem } from '../src/kernels/problem.ts';
import { families, parseConfig } from '../src/model/families/index.ts';
import { dryModel } from '../src/model/plan/dry-run.ts';
import { VisionLanguageModel } from '../src/model/vision-language-model.ts';
import type { WeightsChoice } from '../src/model/weight-formats.ts';
import { parseClassifier } from '../src/sav/classifier-file.ts';
import { Tally, type Vote } from '../src/sav/votes.ts';
import { checkKernels } from '../src/verify/check.ts';
import { problems } from '../src/verify/problems.ts';
import { solve } from '../src/verify/solve.ts';

const gpu = await openGpu();
const folder = mkdtempSync(join(tmpdir(), 'headlight-extending-'));

/** The command line within this process: its exit code, and what it wrote to standard output. */
async function headlight(...args: string[]): Promise<{ code: number; stdout: string }> {
  let stdout = '';
  const { write } = process.stdout;
  process.stdout.write = (text) => {
    stdout += text;
    return true;
  };
  try {
    const code = await runProgram(args, { openGpu: () => openGpu({ device: gpu.device }) });
    return { code, stdout };
  } finally {
    process.stdout.write = write;
  }
}

async function expectSolved(all: readonly Problem[]): Promise<void> {
  assert(all.length > 0);
  for (const problem of all) {
    const { failure } = await solve(gpu, problem);
    assert(!failure, `${problem.name}: ${failure}`);
  }
}

/** By the titles of the page's sections. */
const proofs: Record<string, () => Promise<void>> = {
  async 'An operation'() {
    await expectSolved((problems as Record<string, () => readonly Problem[]>).negate());
    const check = (wgsl: string | ((ours: Dispatch) => string)) =>
      checkKernels(gpu, { negate: { name: 'mine.wgsl', wgsl } } as Kernels);
    const right = await check((ours) => ours.code);
    assert(right.passed && right.rows.length >= 4);
    const wrong = await check((ours) => ours.code.replace('= -x[i]', '= x[i]'));
    assert(wrong.rows.every(({ failure }) => failure?.startsWith('NMSE')));
  },

  async 'A weight format'() {
    const { i8 } = formats as Record<string, Format>;
    const ofIt = [...matmulProblems([i8]), ...embeddingProblems([i8]), ...headResultProblems([i8])];
    assert(ofIt.every(({ name }) => name.includes('i8')));
    await expectSolved(ofIt);
    const values = Float32Array.from({ length: 64 }, (_, i) => i - 40);
    const back = i8.unpack(i8.pack(values, [1, 64]), [1, 64]);
    for (const [i, x] of values.entries()) assert(Math.abs(back[i] - x) <= 40 / 127);
    assert.match(i8.obstacle(40) ?? '', /whole groups of 32/);
    // A whole model whose decoder is stored so.
    const prompt = { prompt: 'What is this?' };
    const logits = async (decoder?: string) => {
      const weights = { decoder } as WeightsChoice;
      const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu, weights });
      const cache = await model.runWithCache(await model.input(prompt), { namesFilter: 'logits', posSlice: -1 });
      const { format } = model.weights.decoder.blocks[0].down.weight;
      model.destroy();
      return { name: format.name, data: cache.at('logits').data };
    };
    const [plain, stored] = [await logits(), await logits('i8')];
    assert.equal(stored.name, 'i8');
    const most = Math.max(...plain.data.map(Math.abs));
    const error = Math.max(...plain.data.map((x, i) => Math.abs(x - stored.data[i]))) / most;
    assert(error > 0 && error < 0.1, `${error}`);
  },

  async 'A model family'() {
    assert(families.some(({ modelTypes }) => modelTypes.includes('mine')));
    const sizes = { hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 99 };
    const config = parseConfig({ model_type: 'mine', ...sizes });
    assert.equal(config.className, 'MineForCausalLM');
    assert.equal(config.text.dMlp, 11008); // by its class, where the file is silent
    const dispatches = dryModel(config, f32).dispatches(
      { inputIds: [1, 2, 3], visuals: [] },
      { namesFilter: 'logits' },
    );
    assert(dispatches.some(({ label }) => label === 'blocks.1.attn.z'));
    assert(dispatches.some(({ label }) => label === 'lm_head'));
  },

  async 'A hook point'() {
    const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
    const name = (layer: number, hook: string) => `blocks.${layer}.${hook}`;
    assert(model.hookPoints.some((point) => point.name === 'blocks.0.hook_mlp_in'));
    const images = ['weights/tiny-llava/tasks/images/warm-cool/test-000.png'];
    const input = await model.input({ prompt: 'What color is it?', images });
    const namesFilter = ['blocks.*.hook_mlp_in', 'blocks.*.hook_resid_mid', 'vision.blocks.*.hook_mlp_in', 'logits'];
    const plain = await model.runWithCache(input, { namesFilter });
    for (let l = 0; l < model.config.text.nLayers; l++)
      assert.deepEqual(plain.at(name(l, 'hook_mlp_in')), plain.at(name(l, 'hook_resid_mid')));
    assert(plain.get('vision.blocks.0.hook_mlp_in'));
    // An edit reaches the MLP, and not the residual stream.
    const edited = await model
      .with({ edits: [{ at: name(1, 'hook_mlp_in'), set: 0 }] })
      .runWithCache(input, { namesFilter });
    assert(edited.at(name(1, 'hook_mlp_in')).data.every((x) => x === 0));
    assert.deepEqual(edited.at(name(1, 'hook_resid_mid')), plain.at(name(1, 'hook_resid_mid')));
    assert.notDeepEqual(edited.at('logits'), plain.at('logits'));
    model.destroy();
  },

  async 'A vote rule'() {
    const tally = new Tally('first' as Vote, 2);
    const opinions = [
      [0.4, 0.5],
      [0.9, 0.1],
      [0.9, 0.1],
    ];
    for (const scores of opinions) tally.add(Float64Array.from(scores), 0);
    assert.equal(tally.winner(), 1);
    const rows = join(folder, 'rows.jsonl');
    const out = join(folder, 'first.safetensors');
    const row = (label: string) => JSON.stringify({ image: null, question: `${label}?`, label });
    writeFileSync(rows, ['warm', 'cool', 'warm', 'cool'].map(row).join('\n'));
    assert.equal((await headlight('fit', rows, '--vote', 'first', '--heads', '3', '--out', out)).code, 0);
    const classifier = parseClassifier(await readFileBytes(out), out);
    assert.equal(classifier.data.vote, 'first');
    assert.equal((await headlight('fit', rows, '--vote', 'second', '--out', out)).code, 2);
  },

  async 'A command'() {
    assert.deepEqual(await headlight('heads'), { code: 0, stdout: '48 heads: 6 layers of 8\n' });
    const { stdout } = await headlight('heads', '--json');
    assert.deepEqual(JSON.parse(stdout), { heads: 48, nLayers: 6, nHeads: 8 });
    assert.match((await headlight('heads', '--help')).stdout, /Example:\n {2}headlight heads/);
  },
};

for (const [section, prove] of Object.entries(proofs)) {
  try {
    await prove();
    console.log(`${section}: proven`);
  } catch (e) {
    console.log(`${section}: ${(e as Error).message.split('\n')[0]}`);
  }
}
rmSync(folder, { recursive: true });
gpu.dispose();
process.exit();
