// docs/kernels.md against what the launchers record: bindings in order with names, access, dtypes and shapes; params; workgroups.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Dispatch } from '../../../src/gpu/dispatch.ts';
import type { Format } from '../../../src/gpu/formats/format.ts';
import { formats } from '../../../src/gpu/formats/index.ts';
import type { Recorder } from '../../../src/gpu/recorder.ts';
import type { DType, Tensor } from '../../../src/gpu/tensor.ts';
import { makeWeight } from '../../../src/gpu/weight.ts';
import { argmax } from '../../../src/kernels/argmax/argmax.ts';
import { attention, attentionVariants } from '../../../src/kernels/attention/attention.ts';
import { attentionPattern, attentionScores } from '../../../src/kernels/attention-pattern/attention-pattern.ts';
import { attentionValues } from '../../../src/kernels/attention-values/attention-values.ts';
import { kernelOps, opOf } from '../../../src/kernels/custom/kernels.ts';
import { declarations } from '../../../src/kernels/custom/source.ts';
import { edit } from '../../../src/kernels/edit/edit.ts';
import {
  activation,
  add,
  concatColumns,
  gatedActivation,
  gatherRows,
} from '../../../src/kernels/elementwise/elementwise.ts';
import { embedding } from '../../../src/kernels/embedding/embedding.ts';
import { headResult, headSum } from '../../../src/kernels/head-result/head-result.ts';
import { matmul } from '../../../src/kernels/matmul/matmul.ts';
import { mixRows } from '../../../src/kernels/mix-rows/mix-rows.ts';
import { layerNorm, normScale, rmsNorm } from '../../../src/kernels/norm/norm.ts';
import { patchify } from '../../../src/kernels/patchify/patchify.ts';
import { copyRows, rotaryEmbedding } from '../../../src/kernels/rotary/rotary.ts';
import { splice } from '../../../src/kernels/splice/splice.ts';
import { visionEmbedding } from '../../../src/kernels/vision-embedding/vision-embedding.ts';
import { useGpu } from '../../gpu.ts';

const gpu = useGpu();

interface Row {
  name: string;
  optional: boolean;
  access: string;
  dtypes: string[];
  shape: string;
}
interface Section {
  rows: Row[];
  params: string[];
  workgroups: string;
}

const page = readFileSync('docs/kernels.md', 'utf8').split('## The operations')[1];
const sections = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((text): [string, Section] => {
      const cells = [...text.matchAll(/^\| (\w+)(\??) \| (\w+) \| ?(.*?) \| (.*) \|$/gm)].filter(
        ([, name]) => name !== 'name',
      );
      const rows = cells.map(([, name, optional, access, dtypes, shape]) => ({
        name,
        optional: optional === '?',
        access,
        dtypes: dtypes.split(', '),
        shape,
      }));
      return [
        text.split('\n')[0],
        {
          rows: rows.filter((row) => row.name !== 'params'),
          params: rows.find((row) => row.name === 'params')!.shape.split(', '),
          workgroups: /^Workgroups: (.*)$/m.exec(text)![1],
        },
      ];
    }),
);

/** A list of the page, such as `[batch * queries, ceil(keys / 8)]`, at some sizes. */
const evaluate = (list: string, sizes: Record<string, number>): number[] =>
  new Function('ceil', ...Object.keys(sizes), `return ${list}`)(Math.ceil, ...Object.values(sizes));

interface Sample {
  record(rec: Recorder, temp: (shape: number[], dtype?: DType) => Tensor): void;
  sizes: Record<string, number>;
}
const heads = { batch: 2, queries: 3, heads: 6, kvHeads: 2, headSize: 8, keys: 5, keyRows: 7 };
const { batch, queries, keyRows, headSize } = heads;
const rows = 5;
const columns = 12;
const matrix = { rows, columns, width: 4 };
const label = 'sample';
const weightOf = (
  temp: Sample['record'] extends (rec: Recorder, temp: infer T) => void ? T : never,
  shape: [number, number],
  format: Format,
) => makeWeight({ label: 'w', format, shape }, (_, dtype, shape) => temp([...shape], dtype));

/** Of the others the page says in a sentence how they are bound. */
const oneBuffer = Object.values(formats).filter((format) => format.buffers([32, 32]).length === 1);

const samples: Record<string, Sample[]> = {
  attention: [
    // `decode` has two dispatches, and no custom kernel in its place.
    ...attentionVariants
      .filter((variant) => variant !== 'decode')
      .map(
        (variant): Sample => ({
          sizes: heads,
          record: (rec, temp) =>
            void attention(rec, {
              q: temp([batch * queries, 6, headSize]),
              k: temp([batch * keyRows, 2, headSize]),
              v: temp([batch * keyRows, 2, headSize]),
              keys: 5,
              batch,
              causal: true,
              scale: 1,
              label,
              variant,
            }),
        }),
      ),
    {
      sizes: { ...heads, batch: 1, keyRows: 3 },
      record: (rec, temp) =>
        void attention(rec, {
          q: temp([3, 6, headSize]),
          k: temp([3, 2, headSize]),
          v: temp([3, 2, headSize]),
          segments: temp([3, 2], 'u32'),
          causal: false,
          scale: 1,
          label,
        }),
    },
  ],
  attentionScores: [
    {
      sizes: heads,
      record: (rec, temp) =>
        void attentionScores(rec, {
          q: temp([batch * queries, 6, headSize]),
          k: temp([batch * keyRows, 2, headSize]),
          keys: 5,
          batch,
          causal: true,
          scale: 1,
          label,
        }),
    },
    {
      sizes: { ...heads, batch: 1, keyRows: 3, keys: 3 },
      record: (rec, temp) =>
        void attentionScores(rec, {
          q: temp([3, 6, headSize]),
          k: temp([3, 2, headSize]),
          segments: temp([3, 2], 'u32'),
          causal: false,
          scale: 1,
          label,
        }),
    },
  ],
  attentionPattern: [
    {
      sizes: { ...heads, rows: 36 },
      record: (rec, temp) => void attentionPattern(rec, { scores: temp([12, 3, 5]), label }),
    },
  ],
  attentionValues: [
    {
      sizes: { ...heads, width: 4 },
      record: (rec, temp) =>
        void attentionValues(rec, { pattern: temp([12, 3, 5]), v: temp([14, 2, 8]), heads: 6, batch: 2, label }),
    },
  ],
  headResult: oneBuffer.map((format) => ({
    sizes: { ...heads, dModel: 70, partRows: 70 },
    record: (rec, temp) =>
      void headResult(rec, { z: temp([3, 6, 8]), weight: weightOf(temp, [70, 48], format), label }),
  })),
  headSum: [
    {
      sizes: { ...heads, dModel: 12, width: 4 },
      record: (rec, temp) => void headSum(rec, { result: temp([3, 6, 12]), bias: temp([12]), label }),
    },
    {
      sizes: { ...heads, dModel: 7, width: 1 },
      record: (rec, temp) => void headSum(rec, { result: temp([3, 6, 7]), label }),
    },
  ],
  matmul: oneBuffer.flatMap((format) => [
    {
      sizes: { rows: 30, n: 10, k: 8, columns: 10 },
      record: (rec: Recorder, temp) =>
        void matmul(rec, { x: temp([30, 8]), weight: weightOf(temp, [10, 8], format), label }),
    } as Sample,
    {
      sizes: { rows: 3, n: 10, k: 7, columns: 10 },
      record: (rec: Recorder, temp) =>
        void matmul(rec, {
          x: temp([3, 7]),
          weight: weightOf(temp, [10, 7], format),
          bias: temp([10]),
          residual: temp([3, 10]),
          label,
        }),
    } as Sample,
  ]),
  rmsNorm: [
    {
      sizes: matrix,
      record: (rec, temp) => void rmsNorm(rec, { x: temp([rows, columns]), weight: temp([columns]), eps: 1e-5, label }),
    },
    {
      sizes: matrix,
      record: (rec, temp) =>
        void rmsNorm(rec, {
          x: temp([rows, columns]),
          weight: temp([columns]),
          scales: temp([rows, 1]),
          eps: 1e-5,
          label,
        }),
    },
  ],
  layerNorm: [
    {
      sizes: matrix,
      record: (rec, temp) =>
        void layerNorm(rec, {
          x: temp([rows, columns]),
          weight: temp([columns]),
          bias: temp([columns]),
          eps: 1e-5,
          label,
        }),
    },
    {
      sizes: matrix,
      record: (rec, temp) =>
        void layerNorm(rec, {
          x: temp([rows, columns]),
          weight: temp([columns]),
          bias: temp([columns]),
          scales: temp([rows, 1]),
          eps: 1e-5,
          label,
        }),
    },
  ],
  normScale: [
    {
      sizes: matrix,
      record: (rec, temp) => void normScale(rec, { x: temp([rows, columns]), kind: 'rms', eps: 1e-5, label }),
    },
  ],
  rotary: [
    {
      sizes: { rows: 40, heads: 3, headSize: 16, outRows: 60 },
      record: (rec, temp) =>
        void rotaryEmbedding(rec, {
          x: temp([40, 3, 16]),
          table: temp([40, 16]),
          out: temp([60, 3, 16]),
          outRow: 2,
          label,
        }),
    },
  ],
  copyRows: [
    {
      sizes: { rows: 40, heads: 3, headSize: 16, outRows: 60 },
      record: (rec, temp) => copyRows(rec, { x: temp([40, 3, 16]), out: temp([60, 3, 16]), outRow: 2, label }),
    },
  ],
  activation: [
    {
      sizes: matrix,
      record: (rec, temp) => void activation(rec, { x: temp([rows, columns]), activation: 'gelu', label }),
    },
  ],
  gatedActivation: [
    {
      sizes: matrix,
      record: (rec, temp) =>
        void gatedActivation(rec, {
          gate: temp([rows, columns]),
          up: temp([rows, columns]),
          activation: 'silu',
          label,
        }),
    },
  ],
  add: [
    {
      sizes: { rows: 31, columns: 7, width: 1 },
      record: (rec, temp) => void add(rec, { a: temp([31, 7]), b: temp([31, 7]), label }),
    },
  ],
  embedding: oneBuffer.map((format) => ({
    sizes: { ...matrix, partRows: 9 },
    record: (rec, temp) =>
      void embedding(rec, { ids: temp([rows], 'u32'), weight: weightOf(temp, [9, columns], format), label }),
  })),
  argmax: [{ sizes: matrix, record: (rec, temp) => void argmax(rec, { x: temp([rows, columns]), label }) }],
  gatherRows: [
    {
      sizes: { ...matrix, available: 9 },
      record: (rec, temp) => void gatherRows(rec, { x: temp([9, columns]), rows: temp([rows], 'u32'), label }),
    },
  ],
  concatColumns: [
    {
      sizes: { ...matrix, total: 12 },
      record: (rec, temp) => void concatColumns(rec, { parts: [temp([rows, 12])], label }),
    },
  ],
  splice: [false, true].map((extra) => ({
    sizes: { ...matrix, available: 2 },
    record: (rec, temp) =>
      void splice(rec, {
        text: temp([rows, columns]),
        features: temp([2, columns]),
        source: temp([rows], 'u32'),
        ...(extra && { extra: temp([columns]) }),
        label,
      }),
  })),
  mixRows: [
    {
      sizes: { ...matrix, available: 9 },
      record: (rec, temp) =>
        void mixRows(rec, { x: temp([9, columns]), indices: temp([rows, 4], 'u32'), weights: temp([rows, 4]), label }),
    },
  ],
  edit: [true, false].map((given) => ({
    sizes: { ...matrix, unit: 4, given: 2 },
    record: (rec, temp) =>
      void edit(rec, {
        x: temp([rows, columns]),
        rows: temp([rows], 'u32'),
        columns: temp([columns / 4], 'u32'),
        ...(given ? { values: temp([2, columns]) } : { scale: 2 }),
        label,
      }),
  })),
  patchify: [
    {
      sizes: { images: 2, channels: 3, height: 9, patch: 4, patches: 8 },
      record: (rec, temp) => void patchify(rec, { pixels: temp([2, 3, 9, 9]), patch: 4, label }),
    },
  ],
  visionEmbedding: [false, true].map((token) => ({
    sizes: { images: 2, perImage: 9, tokens: token ? 10 : 9, columns, width: 4 },
    record: (rec, temp) =>
      void visionEmbedding(rec, {
        patches: temp([18, columns]),
        ...(token && { classEmbedding: temp([columns]) }),
        position: temp([token ? 10 : 9, columns]),
        batch: 2,
        label,
      }),
  })),
};

/** Fields of the params struct; the first names of a vec4u stand in the page. */
function paramsOf(header: string, documented: readonly string[]): string[] {
  const struct = /struct Params \{([^}]*)\}/.exec(header)?.[1];
  return struct ? [...struct.replace(/\/\/.*/g, '').matchAll(/(\w+)\s*:/g)].map(([, name]) => name) : [...documented];
}

describe('docs/kernels.md', () => {
  it('has a section for every operation', () => {
    expect([...sections.keys()].sort()).toEqual([...kernelOps].sort());
    expect(Object.keys(samples).sort()).toEqual([...kernelOps].sort());
  });

  const seen = new Map<string, Set<string>>();
  it.each(Object.entries(samples))('says what %s records', (op, of) => {
    const { rows, params, workgroups } = sections.get(op)!;
    const names = new Set<string>();
    seen.set(op, names);
    for (const { record, sizes } of of) {
      const rec = gpu().record(op);
      let n = 0;
      record(rec, (shape, dtype = 'f32') => rec.temp(`t${n++}`, dtype, shape));
      expect(rec.recorded).toHaveLength(1);
      const [dispatch] = rec.recorded as [Dispatch];
      expect(opOf(dispatch.kernel)).toBe(op);
      const header = dispatch.header!().trim();
      const ours = dispatch.code.replace(/enable \w+;/, '').trim();
      expect(ours.startsWith(header)).toBe(true);

      const declared = declarations(header);
      const storages = declared.filter(({ kind }) => kind !== 'uniform');
      for (const { name } of storages) names.add(name);
      expect(storages.map((d) => d.binding)).toEqual(dispatch.bindings.map((_, i) => i));
      const present = rows.filter((row) => !row.optional || storages.some((s) => s.name === row.name));
      expect(storages.map(({ name, kind }) => [name, kind])).toEqual(
        present.map(({ name, access }) => [name, `storage, ${access}`]),
      );
      for (const [i, { tensor, access }] of dispatch.bindings.entries()) {
        expect(access).toBe(present[i].access);
        expect(present[i].dtypes).toContain(tensor.dtype);
        expect(tensor.shape, present[i].name).toEqual(evaluate(present[i].shape, sizes));
      }
      expect(declared.find((d) => d.kind === 'uniform')?.binding).toBe(dispatch.bindings.length);
      expect(paramsOf(header, params)).toEqual(params);
      expect(dispatch.params).toHaveLength(params.length);
      const groups = (dispatch.plainWorkgroups ?? dispatch.workgroups).filter((n) => n !== undefined);
      const expected = evaluate(workgroups, sizes);
      expect(groups).toEqual([...expected, ...Array(groups.length - expected.length).fill(1)]);
    }
  });

  it('names no binding that is never there', () => {
    for (const [op, names] of seen)
      expect([op, ...names].sort()).toEqual([op, ...sections.get(op)!.rows.map((r) => r.name)].sort());
  });
});
