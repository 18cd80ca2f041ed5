// What is read from a run, against the same read from transformers' (test/reference/analysis.py).
import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { temperatureSoftmax } from '../../docs/examples/kernels/temperature-softmax.ts';
import { attentionMaps } from '../../src/analysis/attention-map.ts';
import { attributeLogit } from '../../src/analysis/attribution.ts';
import { logitLens } from '../../src/analysis/logit-lens.ts';
import { decoderRollout, towerRollout } from '../../src/analysis/rollout.ts';
import { centroidCosines, linearCka } from '../../src/analysis/similarity.ts';
import { unembedRows } from '../../src/analysis/unembed.ts';
import { headOutputs, headWords, meanHeadOutputs } from '../../src/analysis/words.ts';
import { allHeads } from '../../src/base/heads.ts';
import { openGpu } from '../../src/gpu/gpu.ts';
import type { Kernels } from '../../src/kernels/custom/kernels.ts';
import { InputError } from '../../src/model/errors.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { loadModel } from '../../src/model/load-model.ts';
import { fixturePath } from '../fixtures.ts';
import { relativeError } from '../kernels/check.ts';
import { analysed, useAnalysed } from './models.ts';

describe.each(analysed)('%s', (checkpoint) => {
  const the = useAnalysed(checkpoint);

  it('lays a head’s attention over the picture', async () => {
    const { vlm, clean } = the();
    const heads = [
      { layer: 1, head: 1 },
      { layer: 0, head: 0 },
    ];
    const position = clean.inputIds.length - 2;
    const { grids, maps } = await attentionMaps(vlm, clean, { heads, position: -2 });
    const cache = await vlm.runWithCache(clean, { namesFilter: 'blocks.*.attn.hook_pattern' });
    const { imageTokenId } = vlm.config.vision!;
    const places = Array.from(clean.inputIds).flatMap((id, i) => (id === imageTokenId ? [i] : []));
    expect(grids.map(({ rows, columns }) => rows * columns)).toEqual([places.length]);
    for (const [i, { layer, head }] of heads.entries()) {
      const { data, shape } = cache.get(`blocks.${layer}.attn.hook_pattern`)!;
      const row = data.subarray((head * shape[1] + position) * shape[2]);
      const wanted = places.map((p) => row[p]); // both families number the patches of a token grid row by row
      expect(relativeError(maps[i].grids[0], wanted)).toBeLessThan(1e-5);
      expect(maps[i].share).toBeCloseTo(
        wanted.reduce((sum, x) => sum + x, 0),
        5,
      );
    }
  });

  it('rolls attention out over the decoder and the tower', async () => {
    const { vlm, clean, expected } = the();
    const decoder = await decoderRollout(vlm, clean);
    expect(relativeError(decoder.flow, expected('rollout/decoder').data)).toBeLessThan(1e-4);
    expect(decoder.flow.reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 5);
    const tower = await towerRollout(vlm, clean);
    expect(relativeError(tower.values[0], expected('rollout/vision').data)).toBeLessThan(1e-4);
    // A layer at a time, the last one first.
    const [layers, done]: [number, number[]] = [vlm.config.text.nLayers, []];
    const slow = await decoderRollout(vlm, clean, { maxBytes: 1, onProgress: (count) => done.push(count) });
    expect(done).toEqual(Array.from({ length: layers }, (_, i) => i + 1));
    expect(relativeError(slow.flow, decoder.flow)).toBeLessThan(1e-6);
    const slowTower = await towerRollout(vlm, clean, { maxBytes: 1 });
    expect(relativeError(slowTower.values[0], tower.values[0])).toBeLessThan(1e-6);
  });

  it('reads every layer and position through the unembedding', async () => {
    const { vlm, clean, expected, tokens } = the();
    const rows = await logitLens(vlm, clean, { posSlice: [0], k: 3, tokens });
    const { nLayers } = vlm.config.text;
    expect(rows.length).toBe(nLayers * clean.inputIds.length);
    const all = <T>(value: (token: (typeof rows)[number]['tokens'][number]) => T) =>
      rows.flatMap((row) => row.tokens.map(value));
    expect(
      relativeError(
        all((t) => t.logit),
        expected('lens/logits').data,
      ),
    ).toBeLessThan(1e-4);
    expect(
      relativeError(
        all((t) => t.probability),
        expected('lens/probabilities').data,
      ),
    ).toBeLessThan(1e-4);
    expect(all((t) => t.rank)).toEqual(Array.from(expected('lens/ranks').data));
    expect(rows.flatMap((row) => row.top.map(({ id }) => id))).toEqual(Array.from(expected('lens/top').data));
    expect(
      relativeError(
        rows.map((row) => row.entropy),
        expected('lens/entropy').data,
      ),
    ).toBeLessThan(1e-4);
  });

  it('unembeds rows a slice at a time', async () => {
    const { vlm, clean } = the();
    const { vocabSize } = vlm.config.text;
    const name = 'blocks.1.hook_resid_post';
    const { data } = (await vlm.runWithCache(clean, { namesFilter: name, posSlice: [-5] })).get(name)!;
    const read = async (maxBytes?: number) => {
      const found: [number, number][] = [];
      await unembedRows(vlm, data, { norm: true, maxBytes }, (row, logits) => found.push([row, logits[7]]));
      return found;
    };
    const whole = await read();
    expect(whole.map(([row]) => row)).toEqual([0, 1, 2, 3, 4]);
    const slices = await read(2 * 4 * vocabSize); // two rows each, the last slice one
    expect(slices.map(([row]) => row)).toEqual([0, 1, 2, 3, 4]);
    expect(
      relativeError(
        slices.map(([, logit]) => logit),
        whole.map(([, logit]) => logit),
      ),
    ).toBeLessThan(1e-5);
  });

  it('takes some layers and positions of the lens', async () => {
    const { vlm, clean } = the();
    const rows = await logitLens(vlm, clean, { posSlice: [2, 4], layers: [1], k: 1 });
    expect(rows.map(({ layer, position }) => [layer, position])).toEqual([
      [1, 2],
      [1, 3],
    ]);
  });

  it('takes a logit difference apart into what sums up to it', async () => {
    const { vlm, clean, expected, tokens } = the();
    const found = await attributeLogit(vlm, clean, { token: tokens[0], against: tokens[1] });
    expect(relativeError(found.heads, expected('attribution/heads').data)).toBeLessThan(1e-4);
    expect(relativeError(found.mlp, expected('attribution/mlp').data)).toBeLessThan(1e-4);
    expect(relativeError([found.embed], expected('attribution/embed').data)).toBeLessThan(1e-4);
    expect(relativeError([found.total], expected('attribution/logit').data)).toBeLessThan(1e-4);
    expect(relativeError([found.total], [found.logit])).toBeLessThan(1e-4);
  });

  it('says of edits behind the residual stream that it does not see them, and takes those within it', async () => {
    const { vlm, clean, tokens } = the();
    const of = (edits: Edit[]) => attributeLogit(vlm.with({ edits }), clean, { token: tokens[0] });
    for (const at of ['logits', 'ln_final.hook_normalized', '*'])
      await expect(of([{ at, scale: 2 }]), at).rejects.toThrow(/^edit of (logits|ln_final.hook_normalized): the parts/);
    const scaled = await of([{ at: 'ln_final.hook_scale', scale: 2 }]);
    expect(relativeError([scaled.total], [scaled.logit])).toBeLessThan(1e-4);
    const lens = (at: string) => logitLens(vlm.with({ edits: [{ at, scale: 2 }] }), clean);
    for (const at of ['logits', 'ln_final.hook_scale', '*.hook_scale'])
      await expect(lens(at), at).rejects.toThrow(/^edit of (logits|ln_final.hook_scale): the lens has/);
    expect(await lens('blocks.0.hook_resid_pre')).toHaveLength(vlm.config.text.nLayers);
  });

  it('compares heads between two runs', async () => {
    const { vlm, clean, corrupted, expected } = the();
    const { nHeads, dHead } = vlm.config.text;
    const vectors = async (input: ModelInput) => {
      const cache = await vlm.runWithCache(input, { namesFilter: 'blocks.*.attn.hook_z' });
      const layers = [...cache.values()].map(({ data }) => data);
      const width = nHeads * dHead;
      return Array.from(input.inputIds, (_, p) =>
        Float32Array.from(layers.flatMap((data) => [...data.subarray(p * width, (p + 1) * width)])),
      );
    };
    const [a, b] = [await vectors(clean), await vectors(corrupted)];
    const shape = { nHeads, dHead };
    expect(relativeError(centroidCosines(a, b, shape), expected('similarity/cosine').data)).toBeLessThan(1e-4);
    expect(relativeError(linearCka(a, b, shape), expected('similarity/cka').data)).toBeLessThan(1e-4);
  });

  it('reads the words that heads write', async () => {
    const { vlm, clean, expected } = the();
    const heads = allHeads(vlm.config.text).reverse(); // any order, several of a layer
    const outputs = await headOutputs(vlm, clean, { heads });
    const words = await headWords(vlm, outputs, { k: 4 });
    const { data, shape } = expected('words/values');
    for (const [i, { layer, head }] of heads.entries()) {
      const row = Array.from(data.slice((heads.length - 1 - i) * shape[1]).slice(0, shape[1]));
      const order = row.map((_, id) => id).sort((a, b) => row[b] - row[a]);
      expect(words[i]).toMatchObject({ layer, head });
      expect(words[i].promoted.map(({ id }) => id)).toEqual(order.slice(0, 4));
      expect(words[i].suppressed.map(({ id }) => id)).toEqual(order.reverse().slice(0, 4));
      const values = words[i].promoted.map(({ value }) => value);
      expect(
        relativeError(
          values,
          words[i].promoted.map(({ id }) => row[id]),
        ),
      ).toBeLessThan(1e-4);
    }
  });

  it('averages head outputs over examples', async () => {
    const { vlm, clean, corrupted } = the();
    const { text } = vlm.config;
    const vectors = await vlm.headVectorsAtEnd([clean, corrupted]);
    const head = { layer: 1, head: 1 };
    const [mean] = meanHeadOutputs(vectors, text, [head]);
    const [a, b] = await Promise.all([clean, corrupted].map((input) => headOutputs(vlm, input, { heads: [head] })));
    expect(
      relativeError(
        mean.z,
        a[0].z.map((x, i) => (x + b[0].z[i]) / 2),
      ),
    ).toBeLessThan(1e-5);
  });

  it('reads runs with kernels of the user’s own', async () => {
    const { vlm, clean, tokens } = the();
    const kernels = temperatureSoftmax(() => 20);
    const layer = vlm.nLayers - 1;
    const names = ['logits', `blocks.${layer}.attn.hook_z`];
    const cache = await vlm.with({ kernels }).runWithCache(clean, { namesFilter: names, posSlice: -1 });
    const [logits, z] = names.map((name) => cache.get(name)!.data);
    const [row] = await logitLens(vlm.with({ kernels }), clean, { layers: [layer], tokens });
    expect(relativeError([row.tokens[0].logit], [logits[tokens[0]]])).toBeLessThan(1e-4);
    const { logit } = await attributeLogit(vlm.with({ kernels }), clean, { token: tokens[0] });
    expect(relativeError([logit], [logits[tokens[0]]])).toBeLessThan(1e-4);
    const heads = [{ layer, head: 0 }];
    const [output] = await headOutputs(vlm.with({ kernels }), clean, { heads });
    expect(relativeError(output.z, z.subarray(0, vlm.dHead))).toBeLessThan(1e-4);
    const [[theirs], [ours]] = [
      (await attentionMaps(vlm.with({ kernels }), clean, { heads })).maps,
      (await attentionMaps(vlm, clean, { heads })).maps,
    ];
    expect(relativeError([theirs.share], [ours.share])).toBeGreaterThan(1e-4); // the layers before attend otherwise

    // The lens ends with the user's norm too: of zeros, every token is as likely.
    const zeros = 'for (var i = 0u; i < arrayLength(&out); i++) { out[i] = T(); }';
    const wgsl = `@compute @workgroup_size(1) fn main() { ${zeros} }`;
    const none: Kernels = { rmsNorm: { name: 'none.wgsl', wgsl } };
    const [flat] = await logitLens(vlm.with({ kernels: none }), clean, { layers: [layer] });
    expect(flat.entropy).toBeCloseTo(Math.log(vlm.config.text.vocabSize), 5);
  });

  it('refuses what is not there', async () => {
    const { vlm, clean } = the();
    await expect(attentionMaps(vlm, clean, { heads: [{ layer: 9, head: 0 }] })).rejects.toThrow(/head 9\.0: this/);
    await expect(decoderRollout(vlm, clean, { position: 99 })).rejects.toThrow(InputError);
    await expect(attributeLogit(vlm, clean, { token: 1e6 })).rejects.toThrow(/token id 1000000 is not in the/);
    await expect(logitLens(vlm, clean, { tokens: [5, 1e6] })).rejects.toThrow(/token id 1000000 is not in the/);
    await expect(decoderRollout(vlm, clean, { residual: 5 })).rejects.toThrow(/residual 5: give a share/);
    await expect(decoderRollout(vlm, clean, { layers: -1 })).rejects.toThrow(/-1 layers: give a whole number/);
    const output = { layer: 0, head: 0, z: new Float32Array(2 * vlm.dHead) }; // would reach into the next head
    await expect(headWords(vlm, [output])).rejects.toThrow(/head 0\.0: an output of \d+ numbers, heads here have/);
  });
});

it('attributes to the biases of o_proj what they add', async () => {
  const gpu = await openGpu();
  const folder = await openFolder(fixturePath('checkpoints/llava-f16'));
  const { model } = await loadModel(folder, { gpu });
  const text = { inputIds: [3, 50, 7, 21, 9], visuals: [] };
  const { attentionBias, total, logit } = await attributeLogit(model, text, { token: 100, against: 87 });
  expect(attentionBias.every((value) => Math.abs(value) > 1e-3)).toBe(true);
  expect(relativeError([total], [logit])).toBeLessThan(1e-4);
  gpu.dispose();
});
