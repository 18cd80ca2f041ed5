// Edits in towers, of generative models and of dual encoders, against what they must equal: arithmetic, other runs.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { DualEncoder, type DualInput } from '../../src/model/dual-encoder.ts';
import type { Visual } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { fixturePath, readJsonFixture, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';
import { bits, data, open, type Subject } from './subject.ts';

const gpu = useGpu();

/** The most negative number: softmax makes 0 of it. */
const hidden = -3.4028235e38;

// One crop; tiles and a class token; tiles of SigLIP; all pictures' patches in one row, with frames, and with windows.
describe.each([
  ['checkpoints/llava-f32', 'pair'],
  ['families/next-mistral-f32', 'wide'],
  ['families/onevision-f32', 'wide'],
  ['families/qwen2-vl-f32', 'scene'],
  ['families/qwen2_5-vl-f32', 'wide'],
])('the tower of %s', (checkpoint, name) => {
  let s: Subject;
  beforeAll(async () => {
    s = await open(gpu(), checkpoint, name);
  });
  afterAll(() => s?.loaded.destroy());
  const [scores, pattern, v, z] = ['attn_scores', 'pattern', 'v', 'z'].map((h) => `vision.blocks.0.attn.hook_${h}`);
  const out = 'projector.hook_out';
  const run = (edits: Edit[], namesFilter: string[]) =>
    s.loaded.model.with({ edits }).runWithCache(s.input, { namesFilter });

  it('has attention of edited scores', async () => {
    const plain = await run([], [scores, pattern, v, out]);
    const { data: before, shape } = plain.get(scores)!;
    const [heads, tokens] = shape.slice(-3);
    const crops = before.length / heads / tokens ** 2;
    const row = (crops - 1) * tokens + 2; // positions go on from crop to crop, keys do not
    const [queries, keys] = [
      [row, crops * tokens - 2],
      [1, 3, tokens - 1],
    ];
    const edits: Edit[] = [
      { at: scores, heads: [1], positions: { at: [row, -2] }, keys: { at: [1, 3, -1] }, set: hidden },
    ];
    const found = await run(edits, [pattern, z, out]);
    const wanted = before.map((score, i) => {
      const [matrix, q, k] = [Math.floor(i / tokens ** 2), Math.floor(i / tokens) % tokens, i % tokens];
      const position = Math.floor(matrix / heads) * tokens + q;
      return matrix % heads === 1 && queries.includes(position) && keys.includes(k) ? hidden : score;
    });
    for (let at = 0; at < wanted.length; at += tokens) softmax(wanted.subarray(at, at + tokens));
    expect(relativeError(data(found, pattern), wanted)).toBeLessThan(1e-5);
    expect(relativeError(data(found, z), mixed(wanted, data(plain, v), [crops, heads, tokens]))).toBeLessThan(1e-5);
    expect(relativeError(data(found, pattern), data(plain, pattern))).toBeGreaterThan(1e-3);
    expect(relativeError(data(found, out), data(plain, out))).toBeGreaterThan(1e-5);
    const same = await run([{ at: 'vision.*.hook_attn_scores', scale: 1 }], [out]);
    expect(relativeError(data(same, out), data(plain, out))).toBeLessThan(1e-5);
  });

  it('has attention of an edited pattern', async () => {
    const plain = await run([], [v]);
    const { shape, data: values } = plain.get(v)!;
    const [heads, dHead] = shape.slice(-2);
    const tokens = shape.at(-3)!;
    // Every query looks at the third patch of its crop, wherever a mask lets it look.
    const edits: Edit[] = [
      { at: pattern, set: 0 },
      { at: pattern, keys: 2, set: 1 },
    ];
    const third = values.map((_, i) => {
      const crop = Math.floor(i / (tokens * heads * dHead));
      return values[(crop * tokens + 2) * heads * dHead + (i % (heads * dHead))];
    });
    expect(data(await run(edits, [z]), z)).toEqual(third);
  });

  it('divides by edited scales and adds up edited results', async () => {
    const [normalized, result, attn] = ['ln2.hook_normalized', 'attn.hook_result', 'hook_attn_out'].map(
      (hook) => `vision.blocks.0.${hook}`,
    );
    const divided = async (by: number) =>
      data(await run([{ at: 'vision.blocks.0.ln2.hook_scale', scale: by }], [normalized]), normalized);
    const plain = await run([], [normalized, result, attn]);
    const [half, quarter] = [await divided(2), await divided(4)];
    // What is not the bias is halved, and halved again.
    const halved = half.map((x, i) => data(plain, normalized)[i] - 2 * (x - quarter[i]));
    expect(relativeError(halved, half)).toBeLessThan(1e-6);
    expect(relativeError(half, data(plain, normalized))).toBeGreaterThan(0.1);

    const [heads, dModel] = plain.get(result)!.shape.slice(-2);
    const found = await run([{ at: result, heads: [1], positions: [3, -1], scale: -1 }], [result, attn]);
    const wanted = data(plain, attn).slice();
    for (const [i, x] of data(found, result).entries())
      wanted[Math.floor(i / dModel / heads) * dModel + (i % dModel)] += x - data(plain, result)[i];
    expect(relativeError(data(found, attn), wanted)).toBeLessThan(1e-5);
    expect(relativeError(data(found, attn), data(plain, attn))).toBeGreaterThan(1e-2);
  });
});

describe.each(['families/clip-f32', 'families/siglip-f32'])('%s', (checkpoint) => {
  let encoder: DualEncoder;
  let input: Required<DualInput>;
  let other: Required<DualInput>;
  beforeAll(async () => {
    encoder = await DualEncoder.load(await openFolder(fixturePath(checkpoint)), { gpu: gpu() });
    const { pairs } = readJsonFixture<{ inputs: { pairs: { texts: string[] } } }>(`${checkpoint}/expected.json`).inputs;
    const { data, shape } = readTensors(`${checkpoint}/expected.safetensors`).get('pairs/pixel_values')!;
    const size = data.length / shape[0];
    const images = Array.from({ length: shape[0] }, (_, i): Visual => {
      const pixels = Float32Array.from(data.subarray(i * size, (i + 1) * size));
      return { kind: 'image', pixels, shape: [1, ...shape.slice(1)] };
    });
    const texts = pairs.texts.map((text) => encoder.processor.text(text).ids);
    input = { images, texts };
    other = {
      images: images.map((image) => ({ ...image, pixels: image.pixels.map((x) => -x) })),
      // as long, and read at the same place
      texts: texts.map((ids) => Array.from(ids, (id, i) => (i > 0 && i < ids.length - 1 ? 50 : id))),
    };
  });
  afterAll(() => encoder?.destroy());
  const run = async (edits: Edit[], namesFilter: string[] = [], of = input) => {
    const { imageEmbeddings, textEmbeddings, activations } = await encoder.with({ edits }).run(of, { namesFilter });
    const flat = (rows: Float32Array[]) => Float32Array.from(rows.flatMap((row) => [...row]));
    return { vision: flat(imageEmbeddings), text: flat(textEmbeddings), activations };
  };

  it('edits that change nothing change nothing', async () => {
    const plain = await run([]);
    const same = await run(['hook_z', 'hook_scale', 'hook_normalized'].map((hook) => ({ at: `*.${hook}`, scale: 1 })));
    const near = await run(['hook_pattern', 'hook_result'].map((hook) => ({ at: `*.${hook}`, scale: 1 })));
    for (const tower of ['vision', 'text'] as const) {
      expect(bits(same[tower]), tower).toEqual(bits(plain[tower]));
      expect(relativeError(near[tower], plain[tower]), tower).toBeLessThan(1e-5);
    }
  });

  it('patching a tower’s stream from another run reproduces its embeddings, and leaves the other tower', async () => {
    const plain = await run([]);
    for (const [tower, rest] of [
      ['vision', 'text'],
      ['text', 'vision'],
    ] as const) {
      const at = `${tower}.blocks.1.hook_resid_pre`;
      const theirs = await run([], [at], other);
      const patched = await run([{ at, set: data(theirs.activations, at) }]);
      expect(bits(patched[tower]), tower).toEqual(bits(theirs[tower]));
      expect(relativeError(plain[tower], theirs[tower]), tower).toBeGreaterThan(1e-2);
      expect(bits(patched[rest]), rest).toEqual(bits(plain[rest]));
    }
  });

  it('embeddings follow from the last norm’s edited scale', async () => {
    const at = 'text.ln_final.hook_scale';
    const [one, two, four] = [await run([]), await run([{ at, scale: 2 }]), await run([{ at, scale: 4 }])];
    // What is not a bias is halved, and halved again.
    const halved = two.text.map((x, i) => one.text[i] - 2 * (x - four.text[i]));
    expect(relativeError(halved, two.text)).toBeLessThan(1e-5);
    expect(relativeError(two.text, one.text)).toBeGreaterThan(0.1);
  });

  it('attention follows from edited scores, of one text or image', async () => {
    for (const tower of ['vision', 'text']) {
      const [scores, v, z] = ['attn_scores', 'v', 'z'].map((h) => `${tower}.blocks.0.attn.hook_${h}`);
      const { activations: plain } = await run([], [scores, v, z]);
      const { data: before, shape } = plain.get(scores)!;
      const [count, heads, tokens] = shape;
      const edits: Edit[] = [{ at: scores, heads: [1], positions: [tokens, 2 * tokens], keys: 0, set: hidden }];
      const wanted = before.map((score, i) => {
        const matrix = Math.floor(i / tokens ** 2);
        return matrix === heads + 1 && i % tokens === 0 ? hidden : score;
      });
      // The first token of a text in CLIP sees itself alone: then it takes nothing.
      const blind = (row: Float32Array) => row.every((x) => x <= -3.4e38);
      for (let at = 0; at < wanted.length; at += tokens) {
        const row = wanted.subarray(at, at + tokens);
        if (blind(row)) row.fill(0);
        else softmax(row);
      }
      const found = data((await run(edits, [z])).activations, z);
      expect(relativeError(found, mixed(wanted, data(plain, v), [count, heads, tokens])), tower).toBeLessThan(1e-5);
      expect(relativeError(found, data(plain, z)), tower).toBeGreaterThan(1e-3);
    }
  });

  it('the pooling head of SigLIP looks where its pattern says', async ({ skip }) => {
    skip(!checkpoint.includes('siglip'), 'CLIP has no such head');
    const [pattern, normalized] = ['vision.head.attn.hook_pattern', 'vision.ln_final.hook_normalized'];
    const { activations: plain } = await run([], [normalized]);
    const { data: rows, shape } = plain.get(normalized)!;
    const [, tokens, dModel] = shape;
    const looking = await run([
      { at: pattern, set: 0 },
      { at: pattern, keys: 2, set: 1 },
    ]);
    // The same as if all tokens of an image were its third one.
    const third = rows.map((_, i) => rows[(Math.floor(i / tokens / dModel) * tokens + 2) * dModel + (i % dModel)]);
    expect(relativeError(looking.vision, (await run([{ at: normalized, set: third }])).vision)).toBeLessThan(1e-5);
    expect(relativeError(looking.vision, (await run([])).vision)).toBeGreaterThan(1e-2);
  });

  it('refuses what means nothing', async () => {
    await expect(run([{ at: 'blocks.0.attn.hook_z', set: 0 }])).rejects.toThrow('no hook point is named');
    await expect(run([{ at: 'text.hook_embed', positions: 1000, set: 0 }])).rejects.toThrow(
      /position 1000 does not lie within the \d+ rows/,
    );
  });
});

/** In place. */
function softmax(row: Float32Array): void {
  const peak = row.reduce((a, b) => Math.max(a, b));
  const total = row.reduce((sum, x) => sum + Math.exp(x - peak), 0);
  for (const [i, x] of row.entries()) row[i] = Math.exp(x - peak) / total;
}

/** pattern · v, of as many heads of both. */
function mixed(pattern: Float32Array, v: Float32Array, [crops, heads, tokens]: number[]): Float32Array {
  const dHead = v.length / (crops * heads * tokens);
  return v.map((_, i) => {
    const [row, h, d] = [Math.floor(i / heads / dHead), Math.floor(i / dHead) % heads, i % dHead];
    const [crop, q] = [Math.floor(row / tokens), row % tokens];
    let sum = 0;
    for (let k = 0; k < tokens; k++)
      sum += pattern[((crop * heads + h) * tokens + q) * tokens + k] * v[((crop * tokens + k) * heads + h) * dHead + d];
    return sum;
  });
}
