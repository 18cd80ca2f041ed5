// Edits against what they must equal: other weights, other runs, arithmetic.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { buffersOf } from '../../src/gpu/weight.ts';
import type { TextConfig } from '../../src/model/config/text.ts';
import { InputError } from '../../src/model/errors.ts';
import { generate, PromptRun } from '../../src/model/generation/generate.ts';
import { type Edit, type EditPositions, firstPosition } from '../../src/model/interventions/edits.ts';
import { Model } from '../../src/model/model.ts';
import type { ActivationCache } from '../../src/model/run/activations.ts';
import { suffixesAtOnce } from '../../src/model/run/prefix.ts';
import { useGpu } from '../gpu.ts';
import { random, relativeError } from '../kernels/check.ts';
import { bits, data, open, type Subject } from './subject.ts';

const gpu = useGpu();

// GQA, head size of its own; Qwen2 decoder with a picture of many tiles; rotary positions of three axes.
describe.each([
  ['checkpoints/llava-f32', 'scene'],
  ['families/onevision-f32', 'wide'],
  ['families/qwen2_5-vl-f32', 'scene'],
  ['families/mistral-text-bf16', 'turns'],
])('%s', (checkpoint, name) => {
  let s: Subject;
  beforeAll(async () => {
    s = await open(gpu(), checkpoint, name);
  });
  afterAll(() => s?.loaded.destroy());
  const run = (edits: Edit[], namesFilter: string | string[] = 'logits', input = s.input) =>
    s.loaded.model.with({ edits }).runWithCache(input, { namesFilter });

  it('hooks leave the outputs alone, bit for bit', async () => {
    const plain = await run([], 'logits');
    const watched = await run([], '*');
    expect(bits(data(watched, 'logits'))).toEqual(bits(data(plain, 'logits')));
  });

  it('an edit that changes nothing changes nothing', async () => {
    const plain = data(await run([]), 'logits');
    const same = await run([{ at: 'blocks.1.attn.hook_z', scale: 1 }]);
    expect(bits(data(same, 'logits'))).toEqual(bits(plain));
    const scaled = await run([{ at: '*.hook_scale', scale: 1 }]);
    expect(bits(data(scaled, 'logits'))).toEqual(bits(plain));
    // matrices of scores and patterns, and sums of results: the same numbers, differently rounded
    for (const at of ['blocks.0.attn.hook_attn_scores', 'blocks.*.attn.hook_pattern', '*.hook_result'])
      expect(relativeError(data(await run([{ at, scale: 1 }]), 'logits'), plain), at).toBeLessThan(1e-5);
  });

  it('zeroing a head equals zeroing its columns of W_O', async () => {
    const { nHeads, dHead } = s.loaded.model.config.text;
    const [layer, head] = [0, nHeads - 1];
    const zeroed = data(await run([{ at: `blocks.${layer}.attn.hook_z`, heads: [head], set: 0 }]), 'logits');
    const plain = data(await run([]), 'logits');
    expect(relativeError(zeroed, plain)).toBeGreaterThan(1e-2);
    const { weight } = s.loaded.model.weights.decoder.blocks[layer].o;
    const buffers = buffersOf(weight);
    const stored = await Promise.all(buffers.map(words));
    const columns = nHeads * dHead;
    const cut = stored.map((bytes, part) => {
      const copy = bytes.slice();
      const size = copy.length / weight.parts[part].shape[0] / columns;
      for (let row = 0; row < weight.parts[part].shape[0]; row++)
        copy.fill(0, (row * columns + head * dHead) * size, (row * columns + (head + 1) * dHead) * size);
      return copy;
    });
    try {
      for (const [i, bytes] of cut.entries()) gpu().write(buffers[i], bytes);
      expect(bits(data(await run([]), 'logits'))).toEqual(bits(zeroed));
    } finally {
      for (const [i, bytes] of stored.entries()) gpu().write(buffers[i], bytes);
    }
  });

  it('norms divide by an edited scale', async () => {
    const { blocks, lnFinal } = s.loaded.model.weights.decoder;
    const [scale, normalized] = ['blocks.1.ln1.hook_scale', 'blocks.1.ln1.hook_normalized'];
    const plain = await run([], [scale, normalized, 'logits']);
    const doubled = await run([{ at: scale, scale: 2 }], [scale, 'logits']);
    expect(bits(data(doubled, scale))).toEqual(bits(data(plain, scale).map((x) => 2 * x)));
    expect(relativeError(data(doubled, 'logits'), data(plain, 'logits'))).toBeGreaterThan(1e-2);
    expect(lnFinal.bias).toBeUndefined(); // RMS norms: half of the weight is half of the output
    const { weight } = blocks[1].ln1;
    const stored = await words(weight);
    try {
      gpu().write(
        weight,
        new Float32Array(stored.slice().buffer).map((x) => x / 2),
      );
      expect(bits(data(await run([]), 'logits'))).toEqual(bits(data(doubled, 'logits')));
    } finally {
      gpu().write(weight, stored);
    }
    // Frozen to another run's, at some positions
    const theirs = data(await run([], scale, { ...s.other, inputIds: s.input.inputIds }), scale).map((x) => x * 1.5);
    const frozen = await run([{ at: scale, positions: [2, 5], set: theirs.slice(2, 5) }], [scale, normalized]);
    const { dModel } = s.loaded.model.config.text;
    const wanted = data(plain, normalized).map((x, i) => {
      const p = Math.floor(i / dModel);
      return p >= 2 && p < 5 ? (x * data(plain, scale)[p]) / theirs[p] : x;
    });
    expect(relativeError(data(frozen, normalized), wanted)).toBeLessThan(1e-6);
    const final = await run([{ at: 'ln_final.hook_scale', scale: 4 }]);
    expect(bits(data(final, 'logits'))).toEqual(bits(data(plain, 'logits').map((x) => x / 4)));
  });

  it('the attention’s output is the sum of edited results', async () => {
    const [result, out, z] = ['attn.hook_result', 'hook_attn_out', 'attn.hook_z'].map((h) => `blocks.1.${h}`);
    const plain = await run([], [result, out, 'logits']);
    const heads = [1];
    const cut = data(await run([{ at: result, heads, set: 0 }]), 'logits');
    expect(relativeError(cut, data(await run([{ at: z, heads, set: 0 }]), 'logits'))).toBeLessThan(1e-5);
    expect(relativeError(cut, data(plain, 'logits'))).toBeGreaterThan(1e-3);
    const { nHeads, dModel } = s.loaded.model.config.text;
    const edits: Edit[] = [
      { at: result, heads: [0], positions: [2, 5], scale: -1 },
      { at: result, heads: [1], positions: -1, set: random(dModel, 9) },
    ];
    const found = await run(edits, [result, out]);
    const wanted = data(plain, out).slice();
    for (const [i, x] of data(found, result).entries())
      wanted[Math.floor(i / dModel / nHeads) * dModel + (i % dModel)] += x - data(plain, result)[i];
    expect(relativeError(data(found, out), wanted)).toBeLessThan(1e-5);
    expect(relativeError(data(found, out), data(plain, out))).toBeGreaterThan(1e-2);
    // Of a run that ends with these heads, at the last position
    const ended = await s.loaded.model.with({ edits }).runWithCache(s.input, { namesFilter: result, posSlice: -1 });
    expect(relativeError(data(ended, result), data(found, result).slice(-nHeads * dModel))).toBeLessThan(1e-5);
  });

  it('patching the whole residual stream of another run reproduces it', async () => {
    const other = s.input.visuals.length ? s.other : { ...s.input, inputIds: Array.from(s.input.inputIds).reverse() };
    const theirs = await run([], ['blocks.1.hook_resid_pre', 'logits'], other);
    const patched = await run([{ at: 'blocks.1.hook_resid_pre', set: data(theirs, 'blocks.1.hook_resid_pre') }]);
    expect(bits(data(patched, 'logits'))).toEqual(bits(data(theirs, 'logits')));
    expect(relativeError(data(await run([]), 'logits'), data(theirs, 'logits'))).toBeGreaterThan(1e-2);
  });

  it('applies edits in order, to the positions and heads they name, and names read what is left', async () => {
    const { dHead, nHeads } = s.loaded.model.config.text;
    const z = 'blocks.1.attn.hook_z';
    const plain = data(await run([], z), z);
    const vector = random(dHead, 5);
    const edits: Edit[] = [
      { at: z, heads: [0], positions: [2, 5], scale: 2 },
      { at: z, heads: [0], positions: { at: [3] }, add: vector },
      { at: z, heads: [0], positions: -1, set: 7 },
    ];
    const found = data(await run(edits, z), z);
    const length = s.input.inputIds.length;
    const wanted = plain.map((x, i) => {
      const [p, h, d] = [Math.floor(i / nHeads / dHead), Math.floor(i / dHead) % nHeads, i % dHead];
      if (h !== 0) return x;
      if (p === length - 1) return 7;
      return (p >= 2 && p < 5 ? x * 2 : x) + (p === 3 ? vector[d] : 0);
    });
    expect(relativeError(found, wanted)).toBeLessThan(1e-6);
    const reversed = data(await run([edits[1], edits[0]], z), z);
    const at = (3 * nHeads + 0) * dHead;
    expect(reversed[at]).toBeCloseTo((plain[at] + vector[0]) * 2, 4);
  });

  it('gives each position a vector of its own, whatever the order of a list', async () => {
    const { dHead, nHeads } = s.loaded.model.config.text;
    const z = 'blocks.1.attn.hook_z';
    const plain = data(await run([], z), z);
    const [steer, patch, one] = [random(2 * dHead, 6), random(2 * nHeads * dHead, 7), random(dHead, 8)];
    const edits: Edit[] = [
      { at: z, heads: [0], positions: [2, 4], add: one },
      { at: z, heads: [1], positions: [2, 4], add: steer },
      { at: z, positions: { at: [6, 5] }, set: patch },
    ];
    const wanted = plain.map((x, i) => {
      const [p, h, d] = [Math.floor(i / nHeads / dHead), Math.floor(i / dHead) % nHeads, i % dHead];
      if (p === 5 || p === 6) return patch[(6 - p) * nHeads * dHead + h * dHead + d];
      if (h > 1 || (p !== 2 && p !== 3)) return x;
      return x + (h === 0 ? one[d] : steer[(p - 2) * dHead + d]);
    });
    expect(relativeError(data(await run(edits, z), z), wanted)).toBeLessThan(1e-6);
  });

  it('gives each head the vector at its place in the list', async () => {
    const { nHeads, dHead } = s.loaded.model.config.text;
    const at = 'blocks.0.attn.hook_z';
    const heads = [nHeads - 1, 0];
    const set = new Float32Array(2 * dHead).fill(1, 0, dHead).fill(2, dHead);
    const z = data(
      await s.loaded.model
        .with({ edits: [{ at, heads, set }] })
        .runWithCache(s.input, { namesFilter: at, posSlice: -1 }),
      at,
    );
    expect([z[(nHeads - 1) * dHead], z[0]]).toEqual([1, 2]);
  });

  it('changes head vectors, of the last layer too, where positions say so', async () => {
    const { model } = s.loaded;
    const { nLayers, nHeads, dHead } = model.config.text;
    const z = `blocks.${nLayers - 1}.attn.hook_z`;
    const last = async (edits: Edit[]) =>
      (await model.with({ edits }).headVectorsAtEnd([s.input]))[0].slice(-nHeads * dHead);
    expect(await last([{ at: z, positions: -1, set: 3 }])).toEqual(new Float32Array(nHeads * dHead).fill(3));
    expect(await last([{ at: z, positions: [0, -1], set: 3 }])).toEqual(await last([]));
  });

  it('what stands before an edited position stays as it is, bit for bit', async () => {
    const length = s.input.inputIds.length;
    const names = ['blocks.*.hook_resid_post', 'logits'];
    const plain = await run([], names);
    const steered = await run([{ at: 'blocks.0.hook_resid_post', positions: -3, add: 0.5 }], names);
    for (const [key, { data: all, shape }] of plain) {
      const before = ((length - 3) * all.length) / shape[0];
      expect(bits(data(steered, key).subarray(0, before)), key).toEqual(bits(all.subarray(0, before)));
      expect(relativeError(data(steered, key).subarray(before), all.subarray(before)), key).toBeGreaterThan(1e-4);
    }
  });

  it('knocks attention out between positions', async () => {
    const { nHeads } = s.loaded.model.config.text;
    const length = s.input.inputIds.length;
    const [scores, pattern, z] = ['hook_attn_scores', 'hook_pattern', 'hook_z'].map((h) => `blocks.1.attn.${h}`);
    const plain = data(await run([], pattern), pattern);
    const edits: Edit[] = [{ at: scores, heads: [1], positions: -1, keys: [0, length - 3], set: -3.4028235e38 }];
    const cut = await run(edits, [pattern, z]);
    const found = data(cut, pattern);
    const row = (all: Float32Array, h: number) =>
      Array.from(all.subarray((h * length + length - 1) * length, (h * length + length) * length));
    const kept = row(plain, 1).slice(length - 3);
    const total = kept.reduce((a, b) => a + b, 0);
    expect(row(found, 1).slice(0, length - 3)).toEqual(new Array(length - 3).fill(0));
    expect(
      relativeError(
        row(found, 1).slice(length - 3),
        kept.map((p) => p / total),
      ),
    ).toBeLessThan(1e-4);
    for (let h = 0; h < nHeads; h++)
      if (h !== 1) expect(relativeError(row(found, h), row(plain, h))).toBeLessThan(1e-5);
    const set = data(
      await run([{ at: pattern, heads: [1], positions: -1, keys: [1, 3], set: 0.75 }], pattern),
      pattern,
    );
    expect(row(set, 1)).toEqual(row(plain, 1).map((p, key) => (key === 1 || key === 2 ? 0.75 : p)));
    // a query that sees nothing takes nothing
    const blind = await run([{ at: scores, positions: -1, set: -3.4028235e38 }], z);
    const { data: values, shape } = blind.get(z)!;
    expect(values.subarray((length - 1) * shape[1] * shape[2]).every((x) => x === 0)).toBe(true);
  });

  it('goes on in generated steps, with positions right across the cache', async () => {
    const cut: Edit = { at: 'blocks.0.attn.hook_z', heads: [0], set: 0 };
    const ids = async (edits: Edit[]) => {
      const found: number[] = [];
      const options = { maxNewTokens: 6, endTokens: new Set<number>() };
      for await (const id of generate(s.loaded.model.with({ edits }), s.input, options)) found.push(id);
      return found;
    };
    const everywhere: Edit[] = [
      cut,
      { at: 'blocks.1.attn.hook_result', heads: [1], scale: -1 },
      { at: '*.hook_scale', scale: 1.5 },
    ];
    const generated = await ids(everywhere);
    // The same text, read as a prompt: every token must be the likeliest after those before it.
    const whole = { ...s.input, inputIds: [...Array.from(s.input.inputIds), ...generated] };
    const { data: logits, shape } = (await run(everywhere, 'logits', whole)).get('logits')!;
    const start = s.input.inputIds.length;
    for (const [i, id] of generated.entries()) {
      const row = logits.subarray((start + i - 1) * shape[1], (start + i) * shape[1]);
      expect(row.indexOf(Math.max(...row)), `token ${i}`).toBe(id);
    }
    // What generation goes on from is edited like any other: here it is made to say what it is told.
    const { vocabSize } = s.loaded.model.config.text;
    const told = 77;
    const add = new Float32Array(vocabSize).map((_, id) => (id === told ? 1e4 : 0));
    const plain = await ids([]);
    const once = await ids([{ at: 'logits', positions: -1, add }]);
    expect([once[0], once.every((id) => id === told)]).toEqual([told, false]);
    expect(await ids([{ at: 'logits', positions: [start], add }])).toEqual([plain[0], ...new Array(5).fill(told)]);
    // Only what is generated: the first token, which the prompt decides, stays.
    const later = await ids([{ ...cut, at: 'blocks.*.hook_resid_post', heads: undefined, positions: [start], set: 0 }]);
    expect(later[0]).toBe(plain[0]);
  });

  it('runs variations as if each ran alone', async () => {
    const length = s.input.inputIds.length;
    const variations: Edit[][] = [
      [],
      [{ at: 'blocks.0.attn.hook_z', heads: [0], positions: -2, set: 0 }],
      [{ at: 'blocks.1.hook_resid_pre', positions: [length - 4, -1], add: 0.25 }],
      [
        { at: 'blocks.1.attn.hook_z', heads: [1], positions: -1, scale: -1 },
        { at: 'blocks.0.hook_mlp_out', positions: { at: [length - 1, length - 3] }, set: 0 },
      ],
      [{ at: 'blocks.0.attn.hook_pattern', heads: [1], positions: -1, keys: [1, 3], set: 0 }],
    ];
    const options = { namesFilter: ['logits', 'blocks.*.attn.hook_z', 'blocks.1.attn.hook_pattern'], posSlice: -1 };
    const together = await s.loaded.model.runVariations(s.input, variations, options);
    for (const [i, edits] of variations.entries()) {
      const alone = await s.loaded.model.with({ edits }).runWithCache(s.input, options);
      expect([...together[i].keys()]).toEqual([...alone.keys()]);
      for (const [key, { data: wanted, shape }] of alone) {
        expect(together[i].get(key)!.shape, key).toEqual(shape);
        expect(relativeError(data(together[i], key), wanted), `${i} ${key}`).toBeLessThan(1e-5);
      }
    }
    expect(relativeError(data(together[1], 'logits'), data(together[0], 'logits'))).toBeGreaterThan(1e-4);
    // from the first position on, too
    const [first] = await s.loaded.model.runVariations(
      s.input,
      [[{ at: 'blocks.0.hook_resid_pre', scale: 2 }]],
      options,
    );
    const alone = await s.loaded.model
      .with({ edits: [{ at: 'blocks.0.hook_resid_pre', scale: 2 }] })
      .runWithCache(s.input, options);
    expect(relativeError(data(first, 'logits'), data(alone, 'logits'))).toBeLessThan(1e-5);
  });

  it('runs variations of an edited run, whatever and wherever its edits', async () => {
    const length = s.input.inputIds.length;
    const edits: Edit[] = [
      { at: 'hook_embed', positions: [0, 2], scale: 0.5 },
      { at: 'hook_merged_embed', positions: { at: [1, length - 2] }, add: 0.1 },
      { at: 'blocks.0.attn.hook_z', heads: [0], set: 0 },
      { at: 'blocks.0.attn.hook_pattern', heads: [1], positions: [2], keys: [0, 2], set: 0 },
      ...(s.input.visuals.length ? [{ at: 'projector.hook_out', positions: -1, scale: 2 }] : []),
    ];
    const own: Edit[] = [{ at: 'blocks.0.attn.hook_z', heads: [0], positions: -3, add: 1 }];
    const options = { namesFilter: ['logits', 'blocks.*.attn.hook_z'], posSlice: -1 };
    const together = await s.loaded.model.with({ edits }).runVariations(s.input, [[], own], options);
    for (const [i, list] of [edits, [...edits, ...own]].entries()) {
      const alone = await s.loaded.model.with({ edits: list }).runWithCache(s.input, options);
      for (const [key, { data: wanted }] of alone)
        expect(relativeError(data(together[i], key), wanted), `${i} ${key}`).toBeLessThan(1e-5);
    }
    expect(relativeError(data(together[1], 'logits'), data(together[0], 'logits'))).toBeGreaterThan(1e-4);
  });

  it.for([
    ['f32', 1e-5],
    ['f16', 5e-3],
  ] as const)(
    'reads in generated steps with a cache of %s what a run of the whole text has there, to %d',
    async ([cacheFormat, bound], { skip }) => {
      const { dHead } = s.loaded.model.config.text;
      skip(cacheFormat === 'f16' && dHead % 8 > 0, `heads of ${dHead} have no cache of f16`);
      const model = new Model({ ...s.loaded.model, cacheFormat });
      const decoder = (name: string) => !/^(vision|projector)\./.test(name);
      const steps: [position: number, found: ActivationCache][] = [];
      const ids: number[] = [];
      for await (const id of generate(model, s.input, {
        ...{ maxNewTokens: 4, endTokens: new Set<number>(), namesFilter: decoder },
        onActivations: (found, position) => steps.push([position, found]),
      }))
        ids.push(id);
      const { inputIds } = s.input;
      const text = { ...s.input, inputIds: [...Array.from(inputIds), ...ids.slice(0, 3)] };
      const whole = await model.runWithCache(text, { namesFilter: decoder });
      expect(steps.map(([position]) => position)).toEqual([0, 1, 2, 3].map((i) => (i ? inputIds.length + i - 1 : 0)));
      // The prompt does not read its cache.
      const prompt = await model.runWithCache(s.input, { namesFilter: decoder });
      for (const [name, { data }] of steps[0][1]) expect(bits(data), name).toEqual(bits(prompt.at(name).data));
      for (const [position, found] of steps.slice(1)) {
        expect([...found.keys()]).toEqual([...whole.keys()]);
        for (const [name, { data: row, shape }] of found) {
          const all = whole.get(name)!;
          const [heads, queries, keys] = all.shape;
          const wanted = /hook_(attn_scores|pattern)$/.test(name)
            ? Array.from({ length: heads }, (_, h) => {
                const start = (h * queries + position) * keys;
                return [...all.data.subarray(start, start + shape[2])];
              }).flat()
            : all.data.subarray(position * row.length, (position + 1) * row.length);
          // Masked scores, of keys before a window, would drown the others.
          const seen = [...row.keys()].filter((i) => wanted[i] > -1e30);
          expect(
            relativeError(
              seen.map((i) => row[i]),
              seen.map((i) => wanted[i]),
            ),
            `${name} at ${position}`,
          ).toBeLessThan(bound);
        }
      }
    },
  );

  it('returns of variations all that runWithCache does, within the limit', async () => {
    const { model } = s.loaded;
    const variations: Edit[][] = [
      [],
      [{ at: 'blocks.0.attn.hook_z', heads: [0], positions: -3, set: 1 }],
      [{ at: 'hook_embed', positions: 1, scale: 2 }],
    ];
    const options = { namesFilter: '*', posSlice: [-2] as const };
    const together = await model.runVariations(s.input, variations, options);
    for (const [i, edits] of variations.entries()) {
      const alone = await model.with({ edits }).runWithCache(s.input, options);
      expect([...together[i].keys()], `${i}`).toEqual([...alone.keys()]);
      for (const [name, { data: wanted, shape }] of alone) {
        expect(together[i].get(name)!.shape, name).toEqual(shape);
        expect(relativeError(data(together[i], name), wanted), `${i} ${name}`).toBeLessThan(1e-5);
      }
    }
    const late = { namesFilter: 'blocks.*', posSlice: -1 };
    const { resultBytes } = model.price(s.input, late);
    const two = [[], []];
    const fits = model.with({ maxResultBytes: resultBytes });
    await expect(fits.runVariations(s.input, two, late)).rejects.toThrow(
      `the activations of 2 variations take ${2 * resultBytes} bytes, more than ${resultBytes}: take them one by one with eachVariation`,
    );
    let count = 0;
    for await (const cache of fits.eachVariation(s.input, two, late)) count += cache.size;
    expect(count).toBe(
      2 * together[0].size - 2 * [...together[0].keys()].filter((n) => !n.startsWith('blocks.')).length,
    );
    const less = model.with({ maxResultBytes: resultBytes - 1 });
    await expect(less.eachVariation(s.input, two, late).next()).rejects.toThrow('bytes, more than');
    await expect(less.runOnGpu(s.input, late)).rejects.toThrow('bytes, more than');
  });

  it('runs variations that change what comes before the decoder, too, each apart', async () => {
    const early: Edit[][] = [
      [{ at: 'hook_embed', positions: [-3, -1], scale: 2 }],
      [{ at: 'vision.blocks.0.hook_resid_pre', positions: 3, scale: 2 }],
      [
        { at: 'projector.hook_out', positions: [2, 4], set: 0.5 },
        { at: 'blocks.0.attn.hook_z', heads: [0], positions: -2, set: 0 },
      ],
      [{ at: '*.attn.hook_z', heads: [1], scale: 0.5 }],
    ];
    const happens = ({ at }: Edit) => s.input.visuals.length || !/^(vision|projector)/.test(at);
    const variations = [[], ...early.filter((edits) => edits.every(happens)), []];
    const options = { namesFilter: 'logits', posSlice: -1 };
    const edits: Edit[] = [{ at: 'blocks.0.hook_mlp_out', scale: 0.9 }];
    const together = await s.loaded.model.with({ edits }).runVariations(s.input, variations, options);
    const plain = data(together[0], 'logits');
    for (const [i, own] of variations.entries()) {
      const alone = await s.loaded.model.with({ edits: [...edits, ...own] }).runWithCache(s.input, options);
      expect(relativeError(data(together[i], 'logits'), data(alone, 'logits')), `${i}`).toBeLessThan(1e-5);
      if (own.length) expect(relativeError(data(alone, 'logits'), plain), `${i}`).toBeGreaterThan(1e-4);
    }
  });

  it('leaves results on the GPU, and knows the price before', async () => {
    const options = { namesFilter: ['blocks.*.attn.hook_z', 'logits'], posSlice: -1 };
    const { model } = s.loaded;
    const home = await model.runWithCache(s.input, options);
    const there = await model.runOnGpu(s.input, options);
    for (const [key, tensor] of there.tensors) {
      const rec = gpu().record('read');
      const read = rec.read(tensor);
      await rec.submit();
      expect(bits(read.f32), key).toEqual(bits(data(home, key)));
    }
    there.destroy();
    const bytes = [...home.values()].reduce((sum, { data: d }) => sum + d.byteLength, 0);
    expect(model.price(s.input, options).resultBytes).toBe(bytes);
    // Nothing that nobody asked for is launched; an edit is one dispatch.
    const launches = (edits: Edit[], namesFilter: string[] = ['logits']) =>
      model.with({ edits }).price(s.input, { namesFilter }).dispatches;
    expect(launches([], ['logits', 'blocks.0.attn.hook_z', 'blocks.0.hook_resid_pre'])).toBe(launches([]));
    expect(launches([{ at: 'blocks.0.attn.hook_z', set: 0 }])).toBe(launches([]) + 1);
    expect(launches([{ at: 'blocks.0.ln1.hook_scale', scale: 2 }])).toBe(launches([]) + 2); // and the scale
    expect(launches([{ at: 'blocks.0.attn.hook_result', set: 0 }])).toBe(launches([]) + 3); // and two sums
  });
});

describe('edits that mean nothing are refused', () => {
  let s: Subject;
  beforeAll(async () => {
    s = await open(gpu(), 'checkpoints/llava-f32', 'scene');
  });
  afterAll(() => s?.loaded.destroy());

  it.each<[Edit, RegExp]>([
    [{ at: 'blocks.0.attn.hook_zz', set: 0 }, /no hook point is named/],
    [{ at: 'blocks.0.attn.hook_z' }, /give either set, or scale or add/],
    [{ at: 'blocks.0.attn.hook_z', set: 0, scale: 1 }, /give either set, or scale or add/],
    [{ at: 'blocks.0.attn.hook_z', scale: Number.NaN }, /NaN is not a finite number/],
    [{ at: 'blocks.0.attn.hook_z', heads: [4], set: 0 }, /head 4, there are 0 to 3/],
    [{ at: 'blocks.0.hook_resid_pre', heads: [0], set: 0 }, /it has no heads/],
    [{ at: 'blocks.0.ln1.hook_scale', heads: [0], set: 1 }, /it has no heads, its rows are of 1 numbers/],
    [{ at: 'blocks.0.attn.hook_z', positions: -1000, set: 0 }, /position -1000 does not lie within/],
    [{ at: 'blocks.0.attn.hook_z', positions: [5, 5], set: 0 }, /positions 5 to 5 are none/],
    [{ at: 'blocks.0.attn.hook_z', heads: [0], set: new Float32Array(25) }, /25 numbers are no rows of 24/],
    [{ at: 'blocks.0.attn.hook_z', positions: [0, 3], set: new Float32Array(2 * 96) }, /2 vectors for 3 positions/],
    [{ at: 'blocks.0.attn.hook_z', keys: [0, 1], set: 0 }, /keys are of hook_attn_scores/],
    [{ at: 'blocks.0.attn.hook_pattern', set: new Float32Array(3) }, /takes no vectors/],
    [{ at: 'vision.blocks.0.attn.hook_z', positions: 17, set: 0 }, /position 17 does not lie within the 17 rows/],
    [{ at: 'vision.blocks.0.attn.hook_pattern', keys: [0, 18], set: 0 }, /position 18 does not lie within the 17 keys/],
    [{ at: 'blocks.0.attn.hook_z', positions: 31, set: 0 }, /position 31 does not lie within the 31 positions/],
    [{ at: 'blocks.0.attn.hook_z', positions: [30, 40], set: 0 }, /position 40 does not lie within the 31 positions/],
    [{ at: 'blocks.0.attn.hook_z', set: 1e39 }, /set 1e\+39 is not a finite number of 32 bits/],
    [{ at: 'blocks.0.attn.hook_z', set: new Float32Array(96).fill(Number.NaN) }, /set NaN is not a finite number/],
    [{ at: 'blocks.0.attn.hook_z', heads: [1, 1], set: new Float32Array(48) }, /heads of which one comes twice/],
    [
      { at: 'blocks.0.attn.hook_z', heads: [1], positions: { at: [-1, 30] }, set: new Float32Array(48) },
      /positions of which one comes twice/,
    ],
    // What a compiler would have said: these came out as edits of something else, or of nothing.
    [{ at: 'blocks.0.attn.hook_z', head: [1], set: 0 } as Edit, /no field "head"; there are at, heads/],
    [{ at: ['blocks.0.attn.hook_z'], set: 0 } as unknown as Edit, /an edit needs at/],
    [null as unknown as Edit, /an edit needs at/],
    [{ at: 'blocks.0.attn.hook_z', heads: 1, set: 0 } as unknown as Edit, /heads are a list/],
    [{ at: 'blocks.0.attn.hook_z', set: '5' } as unknown as Edit, /set 5 is not a finite number/],
    [{ at: 'blocks.0.attn.hook_z', set: null } as unknown as Edit, /set null is not a finite number/],
    [{ at: 'blocks.0.attn.hook_z', set: [1, 2] } as unknown as Edit, /give one, or a Float32Array/],
    [{ at: 'blocks.0.attn.hook_z', scale: new Float32Array(96) } as unknown as Edit, /scale .* is not a finite number/],
    [
      { at: 'blocks.0.attn.hook_z', positions: [1, 2, 3], set: 0 } as unknown as Edit,
      /positions are a number, \[start\]/,
    ],
    [{ at: 'blocks.0.attn.hook_z', positions: null, set: 0 } as unknown as Edit, /positions are a number, \[start\]/],
    [{ at: 'blocks.0.attn.hook_pattern', keys: {}, set: 0 } as unknown as Edit, /keys are a number, \[start\]/],
  ])('%j', async (edit, message) => {
    const run = async () => s.loaded.model.with({ edits: [edit] }).runWithCache(s.input, { namesFilter: 'logits' });
    await expect(run()).rejects.toThrow(message);
  });

  it('when the model is bound to them, where no input is needed to see it', () => {
    for (const edit of [{ at: 'blocks.0.attn.hook_zz', set: 0 }, { at: 'logits' }, { at: 'logits', scale: Number.NaN }])
      expect(() => s.loaded.model.with({ edits: [edit] }), edit.at).toThrow(InputError);
  });

  it('but not those of what follows the prompt where it is generated', async () => {
    const { model } = s.loaded;
    const first = s.input.inputIds.length;
    const { vocabSize } = model.config.text;
    const wanted = new Float32Array(2 * vocabSize);
    wanted[7] = wanted[vocabSize + 9] = 1;
    const edits = [{ at: 'logits', positions: [first, first + 2] as const, set: wanted }];
    const ids: number[] = [];
    for await (const id of generate(model.with({ edits }), s.input, { maxNewTokens: 3, endTokens: new Set() }))
      ids.push(id);
    expect(ids.slice(1)).toEqual([7, 9]);
  });

  it('of what does not happen, and not of what has happened', async () => {
    const { model } = s.loaded;
    const text = { inputIds: [5, 9, 7], visuals: [] };
    for (const at of ['vision.blocks.0.attn.hook_z', 'projector.*']) {
      const edits: Edit[] = [{ at, set: 0 }];
      const message = `edit of ${at}: it does not happen, the prompt has no images`;
      await expect(model.with({ edits }).runWithCache(text, { namesFilter: 'logits' })).rejects.toThrow(message);
      await expect(model.runVariations(text, [[], edits], { namesFilter: 'logits' })).rejects.toThrow(message);
      await expect(model.with({ edits }).runVariations(text, [[]], { namesFilter: 'logits' })).rejects.toThrow(message);
      // The picture is behind what these tokens follow.
      const run = await PromptRun.start(model.with({ edits }), [s.input], { room: 2, logits: true });
      expect((await run.logProbabilities([7, 9]))[0]).toHaveLength(2);
      run.destroy();
    }
    await model.with({ edits: [{ at: '*.attn.hook_z', scale: 1 }] }).runWithCache(text, { namesFilter: 'logits' });
  });

  it('a list that is none', async () => {
    const edits = { at: 'logits', set: 0 } as unknown as Edit[];
    expect(() => s.loaded.model.with({ edits })).toThrow('edits are a list, [{ at, … }]');
  });

  it('before anything runs, in the last of many variations', async () => {
    const { model } = s.loaded;
    const found = model.eachVariation(s.input, [[], [{ at: 'logits', set: Number.NaN }]], { namesFilter: 'logits' });
    await expect(found.next()).rejects.toThrow(/set NaN/);
  });

  it('of variations, as of runs', async () => {
    const run = (edit: Edit) => s.loaded.model.runVariations(s.input, [[], [edit]], { namesFilter: 'logits' });
    await expect(run({ at: 'projector.hook_outt', set: 0 })).rejects.toThrow('no hook point is named');
    await expect(run({ at: 'projector.hook_out' })).rejects.toThrow('give either set');
    await expect(run({ at: 'hook_merged_embed', set: 0 })).resolves.toHaveLength(2);
  });

  it('variations: results from before the first edit, and more of them than run at once', async () => {
    const { model } = s.loaded;
    const z = 'blocks.2.attn.hook_z';
    const late: Edit = { at: 'blocks.0.hook_resid_pre', positions: -2, scale: 2 };
    const [whole] = await model.runVariations(s.input, [[late]], { namesFilter: z });
    const alone = await model.with({ edits: [late] }).runWithCache(s.input, { namesFilter: z });
    expect(whole.get(z)!.shape).toEqual(alone.get(z)!.shape);
    expect(relativeError(data(whole, z), data(alone, z))).toBeLessThan(1e-5);

    const scaled = (i: number): Edit[] => [{ at: 'blocks.0.attn.hook_z', positions: -1, scale: 1 + i / 10 }];
    const options = { namesFilter: z, posSlice: -1 };
    const many = Array.from({ length: 66 }, (_, i) => scaled(i));
    const together = await model.runVariations(s.input, many, options);
    expect(together).toHaveLength(66);

    // Each begins earlier or later than the one before it: some join a batch, some begin another.
    const mixed = [scaled(1), [late], [], scaled(2)];
    for (const [i, found] of (await model.runVariations(s.input, mixed, options)).entries()) {
      const one = await model.with({ edits: mixed[i] }).runWithCache(s.input, options);
      expect(relativeError(data(found, z), data(one, z)), `mixed ${i}`).toBeLessThan(1e-5);
    }
    for (const i of [1, 63, 64, 65]) {
      const one = await model.with({ edits: scaled(i) }).runWithCache(s.input, options);
      expect(relativeError(data(together[i], z), data(one, z)), `${i}`).toBeLessThan(1e-5);
    }
    expect(relativeError(data(together[65], z), data(together[64], z))).toBeGreaterThan(1e-4);
  });

  it('patches one picture’s features into another’s run', async () => {
    const theirs = await s.loaded.model.runWithCache(s.other, { namesFilter: ['projector.hook_out', 'logits'] });
    const edits: Edit[] = [{ at: 'projector.hook_out', set: theirs.get('projector.hook_out')!.data }];
    const patched = await s.loaded.model.with({ edits }).runWithCache(s.input, { namesFilter: 'logits' });
    expect(bits(patched.get('logits')!.data)).toEqual(bits(theirs.get('logits')!.data));
  });
});

it('runs as many suffixes at once as memory and bindings hold', () => {
  const llama = { nLayers: 32, dModel: 4096, dMlp: 11008, nHeads: 32, nKvHeads: 32, dHead: 128 } as TextConfig;
  const qwen = { nLayers: 28, dModel: 3584, dMlp: 18944, nHeads: 28, nKvHeads: 4, dHead: 128 } as TextConfig;
  expect(suffixesAtOnce(llama, 2 ** 31, 1, 640)).toBe(3); // a cache takes 0.6 GiB
  expect(suffixesAtOnce(qwen, 2 ** 31, 1, 640)).toBe(29);
  expect(suffixesAtOnce(qwen, 2 ** 31, 1, 64)).toBe(64);
  expect(suffixesAtOnce(qwen, 2 ** 27, 640, 640)).toBe(2); // the MLP's rows: 46 MiB each
  expect(suffixesAtOnce(llama, 2 ** 27, 4000, 4000)).toBe(1);
});

it.each<[EditPositions | undefined, number]>([
  [undefined, 0],
  [3, 3],
  [-1, 9],
  [[4, -2], 4],
  [[-3], 7],
  [{ at: [8, -6, 5] }, 4],
  [{ at: [12] }, 10], // generated: no position of the prompt
])('of a prompt of 10 tokens, positions %j begin at %d', (positions, first) => {
  expect(firstPosition({ at: 'logits', set: 0, positions }, 10)).toBe(first);
});

/** A stored tensor's bytes. */
async function words(tensor: Tensor): Promise<Uint8Array<ArrayBuffer>> {
  const rec = gpu().record('read a weight');
  const read = rec.read(tensor);
  await rec.submit();
  return new Uint8Array(read.u32.buffer as ArrayBuffer);
}
