import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { tuningLocation } from '../../src/tuning/kept.ts';
import { useGpu } from '../gpu.ts';
import { headlight } from './headlight.ts';

const gpu = useGpu();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-tune-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => void vi.stubEnv('HEADLIGHT_HOME', join(folder, 'home')));
afterEach(() => vi.unstubAllEnvs());

const model = ['--model', 'test/fixtures/families/llama-text-f32'];

/** The kernels of a prompt of nine tokens, as dump-wgsl says them, and what it says besides. */
async function recorded(...args: string[]): Promise<{ code: number; stderr: string; kernels: string[] }> {
  const out = await mkdtemp(join(folder, 'wgsl-'));
  const { code, stderr } = await headlight('dump-wgsl', ...model, '--tokens', '9', '--out', out, ...args);
  const index = code ? { dispatches: [] } : JSON.parse(await readFile(join(out, 'index.json'), 'utf8'));
  return { code, stderr, kernels: index.dispatches.map(({ kernel }: { kernel: string }) => kernel) };
}

/** A file as `headlight tune` writes it, with changes. */
async function keep(changes: object): Promise<string> {
  const file = await tuningLocation(gpu().capabilities);
  const { vendor, architecture, description } = gpu().capabilities;
  const content = {
    format: 'headlight-tuning',
    headlight: '0.1.0',
    adapter: { vendor, architecture, description },
    choices: {},
    ...changes,
  };
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(content));
  return file;
}

describe('headlight tune', () => {
  it('times what a model runs, and writes what it keeps', async () => {
    const { code, stdout, stderr } = await headlight('tune', ...model, '--tokens', '2', '--rounds', '1', '--json');
    expect(code, stderr).toBe(0);
    const { file, shapes, choices } = JSON.parse(stdout);
    expect(file).toBe(await tuningLocation(gpu().capabilities));
    const named = shapes.map(({ op, shape }: { op: string; shape: string }) => `${op} ${shape}`);
    expect(named.filter((name: string) => name.startsWith('matmul rows up to 2,')).length).toBeGreaterThan(2);
    expect(named.filter((name: string) => name.startsWith('attention queries up to 1,'))).toHaveLength(1);
    const kept = shapes.filter((each: { kept: boolean }) => each.kept);
    const written = JSON.parse(await readFile(file, 'utf8'));
    expect(written.choices).toEqual(choices);
    expect(Object.values(choices).flatMap((byShape) => Object.keys(byShape as object))).toHaveLength(kept.length);
  });
});

describe('choices that were kept', () => {
  it('run, unless --no-tuning says otherwise, and say so', async () => {
    await rm(await tuningLocation(gpu().capabilities), { force: true });
    const before = await recorded();
    expect(before.stderr).not.toContain('tuned');
    expect(before.kernels).not.toContain('matmul.tile8x4 f32');
    const products = [
      [40, 28],
      [20, 28],
      [34, 28],
      [28, 40],
    ];
    const sizes = products.map(([n, k]) => `rows up to 16, n ${n}, k ${k}, format f32`);
    const file = await keep({ choices: { matmul: Object.fromEntries(sizes.map((shape) => [shape, 'tile 8x4'])) } });
    const after = await recorded();
    expect(after.stderr).toContain(`tuned: 4 kernels chosen by ${file} (--no-tuning leaves them out)`);
    expect(after.kernels).toContain('matmul.tile8x4 f32');
    expect((await recorded('--no-tuning')).kernels).toEqual(before.kernels);
  });

  it('are not used from another version', async () => {
    await keep({ headlight: '9.9.9', choices: { matmul: { x: 'of the future' } } });
    const { code, stderr } = await recorded();
    expect(stderr).toMatch(/ is of version "9\.9\.9" and not used; tune again \(headlight tune\)/);
    expect(code).toBe(0);
  });

  it('are refused, by their file, where they are not what tune wrote', async () => {
    const cases: [object, RegExp][] = [
      [{ choices: { matmul: { x: 'rm -rf' } } }, /"choices", "matmul", "x": expected one of /],
      [{ choices: { softmax: { x: 'tile' } } }, /"choices": Unrecognized key: "softmax"/],
      [{ adapter: { vendor: 'a', architecture: 'b', description: 'c' } }, /it is of another adapter, "c"/],
      [{ format: 'x' }, /not what headlight tune keeps/],
      [{ extra: 'x'.repeat(2 ** 20) }, /\d+ bytes are too many/],
    ];
    for (const [changes, problem] of cases) {
      const file = await keep(changes);
      const { code, stderr } = await recorded();
      const line = stderr.split('\n').find((each) => each.startsWith('headlight: '))!;
      expect(line).toMatch(problem);
      expect(line).toContain(file);
      expect(line).toMatch(/delete it and tune again \(headlight tune\), or run without it \(--no-tuning\)$/);
      expect(code).toBe(1);
      expect((await recorded('--no-tuning')).code).toBe(0);
    }
  });
});
