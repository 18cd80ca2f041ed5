import { describe, expect, it } from 'vitest';
import { openGpu } from '../../src/gpu/gpu.ts';
import { rotateAndAppend } from '../../src/kernels/rotary/append.ts';
import {
  copyRowsProblems,
  rotaryIntoHalves,
  rotaryProblem,
  rotaryProblems,
  rotateAndAppendProblems,
} from '../../src/kernels/rotary/problem.ts';
import { copyRows, rotaryEmbedding } from '../../src/kernels/rotary/rotary.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();

describe('rotaryEmbedding', () => {
  // The table is rounded to float32.
  const bound = 1e-12;
  it.each(
    [2, 4, 6, 16, 20, 24, 40, 64, 72, 80, 96, 128].flatMap((headSize) => [1, 7, 65].map((rows) => [rows, headSize])),
  )('%i rows, 3 heads of %i', (rows, headSize) => expectSolved(gpu(), rotaryProblem([rows, 3, headSize]), { bound }));
  it.each(rotaryProblems())('$name', (problem) => expectSolved(gpu(), problem, { bound }));
  // WGSL may round a half-precision number to either neighbour.
  it.each(rotaryIntoHalves())('$name', (problem) => expectSolved(gpu(), problem, { bound: 1e-6 }));

  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const tensor = (label: string, shape: number[]) => recorder.temp(label, 'f32', shape);
    const table = tensor('table', [3, 8]);
    const x = tensor('x', [3, 2, 8]);
    const out = tensor('cache', [5, 2, 8]);
    const attempt = (args: object) => () => rotaryEmbedding(recorder, { x, table, label: 'r', ...args });
    expect(attempt({ x: tensor('x', [3, 2, 5]) })).toThrow('x: [3,2,5] has no pairs in a head of odd size');
    expect(attempt({ x: tensor('x', [4, 2, 8]) })).toThrow('table: expected [4,8], got [3,8] (in rotary)');
    expect(attempt({ out, outRow: 3 })).toThrow('cache: [5,2,8] has no room for x [3,2,8] at row 3 (in rotary)');
    expect(attempt({ out: tensor('cache', [5, 3, 8]) })).toThrow('cache: expected [?,2,8], got [5,3,8] (in rotary)');
    const halves = recorder.temp('cache', 'f16', [5, 2, 12]);
    const twelve = { x: tensor('x', [3, 2, 12]), table: tensor('table', [3, 12]) };
    expect(attempt({ ...twelve, out: halves })).toThrow(
      'cache: rows of [2,12] cannot be stored as f16, which takes four numbers at once (in rotary)',
    );
  });
});

describe('rotateAndAppend', () => {
  it.each(rotateAndAppendProblems())('$name', (problem) =>
    expectSolved(gpu(), problem, { bound: problem.dtype ? 1e-6 : 1e-12 }),
  );

  it('names what does not fit', () => {
    const rec = gpu().record('misfits');
    const tensor = (label: string, shape: number[], dtype: 'f32' | 'f16' = 'f32') => rec.temp(label, dtype, shape);
    const [keys, values] = ['keys', 'values'].map((label) => tensor(label, [5, 1, 8]));
    const args = { qkv: tensor('qkv', [3, 32]), table: tensor('table', [3, 8]), keys, values, heads: 2 };
    const attempt = (more: object) => () => rotateAndAppend(rec, { ...args, outRow: 0, label: 'r', ...more });
    expect(attempt({})).not.toThrow();
    expect(attempt({ heads: 3 })).toThrow('qkv: expected [3,40], got [3,32] (in rotateAndAppend)');
    expect(attempt({ table: tensor('table', [2, 8]) })).toThrow('table: expected [3,8], got [2,8]');
    expect(attempt({ outRow: 3 })).toThrow('keys: [5,1,8] has no room for k of qkv [3,1,8] at row 3');
    expect(attempt({ batch: 2 })).toThrow('is not 2 sequences (in rotateAndAppend)');
    expect(attempt({ values: tensor('values', [5, 2, 8]) })).toThrow('values: expected [5,1,8], got [5,2,8]');
    expect(attempt({ values: tensor('values', [5, 1, 8], 'f16') })).toThrow('values: expected f32, got f16');
    expect(attempt({ out: tensor('q', [3, 1, 8]) })).toThrow('q: expected [3,2,8], got [3,1,8]');
  });
});

describe('copyRows', () => {
  it.each(copyRowsProblems())('$name', (problem) => expectSolved(gpu(), problem));

  it('copies 16-bit numbers whose rows fill words, and refuses others', async () => {
    const recorder = gpu().record('halves');
    const out = gpu().tensor('cache', 'bf16', [3, 2]);
    const x = recorder.input('x', 'bf16', [2, 2], Uint16Array.of(1, 2, 3, 4));
    copyRows(recorder, { x, out, outRow: 1, label: 'copy' });
    const all = recorder.read(out);
    const odd = recorder.temp('odd', 'bf16', [2, 3]);
    expect(() => copyRows(recorder, { x: odd, out: odd, outRow: 0, label: 'copy' })).toThrow(
      'odd: rows of [3] bf16 do not fill words of 4 bytes (in copyRows)',
    );
    await recorder.submit();
    gpu().destroy(out);
    expect([...new Uint16Array(all.u32.buffer)]).toEqual([0, 0, 1, 2, 3, 4]);
  });

  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const [x, out] = [6, 15].map((rows) => recorder.temp(`${rows} rows`, 'f32', [rows, 2, 8]));
    const into = (outRow: number, batch: number) => () => copyRows(recorder, { x, out, outRow, batch, label: 'v' });
    expect(into(4, 3)).toThrow(/has no room/);
    expect(into(0, 4)).toThrow(/is not 4 sequences/);
  });

  it('goes on in the second dimension past the limit of workgroups', async () => {
    const other = await openGpu();
    Object.assign(other.capabilities, { maxWorkgroupsPerDimension: 4 });
    const count = 64 * 10 + 7;
    const x = new Float32Array(count).map((_, i) => i % 1009);
    const recorder = other.record('large');
    const out = recorder.temp('out', 'f32', [count, 1]);
    copyRows(recorder, { x: recorder.input('x', 'f32', [count, 1], x), out, outRow: 0, label: 'copy' });
    const result = recorder.read(out);
    await recorder.submit();
    other.dispose();
    expect(result.f32).toEqual(x);
  });
});
