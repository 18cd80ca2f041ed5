// Sweeps over edited runs, against transformers' models with the same done to their modules (test/reference/analysis.py).
import { describe, expect, it, vi } from 'vitest';
import { ablate, ablateClassifier, ablateHeads, meanOutputs } from '../../src/analysis/ablation.ts';
import { knockOutImages } from '../../src/analysis/knockout.ts';
import { patchHeads, patchResidual } from '../../src/analysis/patching.ts';
import { measure, sweepHeadVectors } from '../../src/analysis/sweep.ts';
import type { Dispatch } from '../../src/gpu/dispatch.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { relativeError } from '../kernels/check.ts';
import { analysed, useAnalysed } from './models.ts';

describe('measure', () => {
  const logits = Float32Array.of(0, Math.log(2), Math.log(5));

  it('is a logit, a log probability or a difference', () => {
    expect(measure(logits, { token: 1 })).toBeCloseTo(Math.log(2), 6);
    expect(measure(logits, { token: 1, metric: 'log-probability' })).toBeCloseTo(Math.log(2 / 8), 6);
    expect(measure(logits, { token: 2, against: 1 })).toBeCloseTo(Math.log(2.5), 6);
    expect(() => measure(logits, { token: 3 })).toThrow(/token id 3 is not in the vocabulary of 3/);
    expect(() => measure(logits, { token: 1.5 })).toThrow(/token id 1.5 is not in the vocabulary of 3/);
  });
});

describe.each(analysed)('%s', (checkpoint) => {
  const the = useAnalysed(checkpoint);
  const target = () => ({ token: the().tokens[0], against: the().tokens[1] });

  it('ablates every head, by zero and by its mean', async () => {
    const { vlm, clean, corrupted, expected } = the();
    const done: number[] = [];
    const onProgress = (count: number) => done.push(count);
    const zero = await ablateHeads(vlm, clean, target(), { onProgress });
    expect(done.at(-1)).toBe(zero.heads.length + 1);
    expect(done.length).toBeGreaterThan(2);
    expect(relativeError(zero.values, expected('ablation/zero').data)).toBeLessThan(1e-4);
    expect(relativeError([zero.baseline], expected('patching/clean').data)).toBeLessThan(1e-4);
    const means = await meanOutputs(vlm, [clean, corrupted]);
    expect(await meanOutputs(vlm, [clean, corrupted], { maxBytes: 1 })).toEqual(means); // a layer at a time
    const mean = await ablateHeads(vlm, clean, target(), { means });
    expect(relativeError(mean.values, expected('ablation/mean').data)).toBeLessThan(1e-4);
  });

  it('ablates some heads at some positions', async () => {
    const { vlm, clean } = the();
    const heads = [{ layer: 1, head: 1 }];
    const some = await ablateHeads(vlm, clean, target(), { heads, positions: -1 });
    const edits = [ablate(vlm, heads[0], { positions: -1 })];
    const cache = await vlm.with({ edits }).runWithCache(clean, { namesFilter: 'logits', posSlice: -1 });
    expect(relativeError(some.values, [measure(cache.get('logits')!.data, target())])).toBeLessThan(1e-5);
  });

  it('analyses an edited model, the clean run and the means too', async () => {
    const { vlm, clean, corrupted } = the();
    const edits = [ablate(vlm, { layer: 0, head: 1 })];
    const answer = async (input: ModelInput, more: Edit[] = []) => {
      const edited = vlm.with({ edits: [...edits, ...more] });
      const cache = await edited.runWithCache(input, { namesFilter: 'logits', posSlice: -1 });
      return measure(cache.get('logits')!.data, target());
    };
    const wanted = [await answer(clean), await answer(corrupted)];
    const one = { layer: 1, head: 0 };
    const means = await meanOutputs(vlm.with({ edits }), [clean]);
    const { dHead } = vlm.config.text;
    expect(means.subarray(dHead, 2 * dHead)).toEqual(new Float32Array(dHead)); // of head 0.1
    const cut = await ablateHeads(vlm.with({ edits }), clean, target(), { heads: [one] });
    const more = await answer(clean, [ablate(vlm, one)]);
    expect(relativeError([cut.baseline, cut.values[0]], [wanted[0], more])).toBeLessThan(1e-5);
    const [layers, positions] = [[1], [-1]];
    const pair = { clean, corrupted };
    const residual = await patchResidual(vlm.with({ edits }), pair, target(), { layers, positions });
    expect(relativeError([residual.clean, residual.corrupted], wanted)).toBeLessThan(1e-5);
    const at = 'blocks.1.hook_resid_pre';
    const theirs = await vlm.with({ edits }).runWithCache(clean, { namesFilter: at, posSlice: -1 });
    const patched = await answer(corrupted, [{ at, positions: -1, set: theirs.get(at)!.data }]);
    expect(relativeError(residual.values, [patched])).toBeLessThan(1e-5);
    const heads = await patchHeads(vlm.with({ edits }), pair, target());
    expect(relativeError([heads.clean, heads.corrupted], wanted)).toBeLessThan(1e-5);
    expect(heads.values[1]).toBeCloseTo(wanted[1], 5); // 0.1 is zero in both
    const { baseline } = await knockOutImages(vlm.with({ edits }), clean, target());
    expect(relativeError([baseline], [wanted[0]])).toBeLessThan(1e-5);
  });

  it('says how many readings of head vectors stay right without each head', async () => {
    const { vlm, clean, corrupted } = the();
    const heads = [
      { layer: 0, head: 1 },
      { layer: 1, head: 0 },
    ];
    const { nHeads, dHead } = vlm.config.text;
    const of = (vectors: Float32Array, { layer, head }: { layer: number; head: number }) =>
      vectors.subarray((layer * nHeads + head) * dHead, (layer * nHeads + head + 1) * dHead);
    const seen: Float32Array[] = [];
    const query = (input: ModelInput, isRight: (vectors: Float32Array) => boolean) => ({
      input: async () => input,
      isRight: (vectors: Float32Array) => {
        seen.push(vectors);
        return isRight(vectors);
      },
    });
    // Right where head 0.1 says something; and always.
    const queries = [
      query(clean, (vectors) => of(vectors, heads[0]).some((x) => x !== 0)),
      query(corrupted, () => true),
    ];
    const progress: number[] = [];
    const found = await ablateClassifier(vlm, queries, { heads, onProgress: (done) => progress.push(done) });
    expect(found).toEqual({ heads, baseline: 1, values: Float64Array.of(0.5, 1) });
    expect(progress).toEqual([1, 2]);
    const [plain] = await vlm.headVectorsAtEnd([clean]);
    expect(relativeError(seen[0], plain)).toBeLessThan(1e-4);
    expect(of(seen[2], heads[1])).toEqual(new Float32Array(dHead));
    const bound = vlm.with({ edits: [ablate(vlm, heads[0])] });
    expect((await ablateClassifier(bound, queries, { heads })).baseline).toBe(0.5);
    await expect(ablateClassifier(vlm, queries, { heads, maxLayer: 0 })).rejects.toThrow(
      'head 1.0: layers 0 to 0 are read',
    );
    await expect(ablateClassifier(vlm, [])).rejects.toThrow('give at least one');
  });

  it('sweeps head vectors', async () => {
    const { vlm, clean } = the();
    const variations = [[], [ablate(vlm, { layer: 0, head: 1 })]];
    const [plain, without] = await sweepHeadVectors(vlm, clean, variations);
    const [wanted] = await vlm.headVectorsAtEnd([clean]);
    expect(relativeError(plain, wanted)).toBeLessThan(1e-4);
    const [cut] = await vlm.with({ edits: variations[1] }).headVectorsAtEnd([clean]);
    expect(relativeError(without, cut)).toBeLessThan(1e-4);
    const [edited] = await sweepHeadVectors(vlm.with({ edits: variations[1] }), clean, [[]]);
    expect(relativeError(edited, cut)).toBeLessThan(1e-4);
    expect(relativeError(without, wanted)).toBeGreaterThan(1e-2);
  });

  it('patches the residual stream, layer by position', async () => {
    const { vlm, clean, corrupted, expected } = the();
    const record = vi.spyOn(vlm.gpu, 'record');
    const found = await patchResidual(vlm, { clean, corrupted }, target());
    const runs = record.mock.results.map(({ value }) => value.recorded as Dispatch[]);
    record.mockRestore();
    const seen = runs.filter((dispatches) => dispatches.some(({ label }) => label.startsWith('vision.')));
    expect(runs.length).toBeGreaterThan(seen.length);
    expect(seen).toHaveLength(3); // the clean picture for its activations and its answer, the other for all patches
    expect(relativeError(found.values, expected('patching/residual').data)).toBeLessThan(1e-4);
    expect(relativeError([found.corrupted], expected('patching/corrupted').data)).toBeLessThan(1e-4);
    const gap = found.clean - found.corrupted;
    expect(found.restored[3]).toBeCloseTo((found.values[3] - found.corrupted) / gap, 9);
    const one = await patchResidual(vlm, { clean, corrupted }, target(), { layers: [1], positions: [-1] });
    expect(one.values[0]).toBeCloseTo(found.values[2 * found.positions.length - 1], 4);
  });

  it('patches heads', async () => {
    const { vlm, clean, corrupted, expected } = the();
    const found = await patchHeads(vlm, { clean, corrupted }, target());
    expect(relativeError(found.values, expected('patching/heads').data)).toBeLessThan(1e-4);
    const all = await patchHeads(vlm, { clean, corrupted }, target(), { position: 'all' });
    expect(relativeError(all.values, found.values)).toBeGreaterThan(1e-3); // earlier positions matter too
  });

  it('hides the picture from the last position and from all text', async () => {
    const { vlm, clean, expected } = the();
    for (const queries of ['last', 'text'] as const) {
      const { windows, everywhere } = await knockOutImages(vlm, clean, target(), { queries });
      const values = [...windows.map(({ value }) => value), everywhere];
      expect(relativeError(values, expected(`knockout/${queries}`).data), queries).toBeLessThan(1e-4);
    }
    const { nLayers } = vlm.config.text;
    const { windows, everywhere } = await knockOutImages(vlm, clean, target(), { window: nLayers });
    expect(windows).toEqual([{ start: 0, end: nLayers, value: expect.closeTo(everywhere, 5) }]);
  });

  it('refuses what cannot be compared', async () => {
    const { vlm, clean, corrupted } = the();
    const longer = { ...corrupted, inputIds: [...Array.from(corrupted.inputIds), 5] };
    await expect(patchHeads(vlm, { clean, corrupted: longer }, target())).rejects.toThrow(/positions correspond/);
    await expect(patchHeads(vlm, { clean, corrupted: clean }, target())).rejects.toThrow(/give the same/);
    await expect(knockOutImages(vlm, { inputIds: [5, 6], visuals: [] }, target())).rejects.toThrow(/no images/);
    await expect(knockOutImages(vlm, clean, target(), { window: 99 })).rejects.toThrow(
      /window 99: give a number of layers, from 1 to/,
    );
    const { imageTokenId } = vlm.config.vision!;
    const pictureLast = { ...clean, inputIds: [5, ...Array.from(clean.inputIds).filter((id) => id === imageTokenId)] };
    await expect(knockOutImages(vlm, pictureLast, target(), { queries: 'text' })).rejects.toThrow(/no text behind/);
    const means = new Float32Array(7);
    await expect(ablateHeads(vlm, clean, target(), { means })).rejects.toThrow(/means of 7 numbers/);
    const stopped = AbortSignal.abort(new Error('interrupted'));
    await expect(ablateHeads(vlm.with({ signal: stopped }), clean, target())).rejects.toThrow('interrupted');
  });
});
