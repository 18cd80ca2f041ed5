// What reaches a terminal, and streams that fail: the command line in processes of its own.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostileTexts, raw } from '../text/hostile.ts';
import { headlight } from './headlight.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-output-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('text from outside', () => {
  const name = '\u001b[32mgreen\u0007\n\u202e.png';

  /** Labels and questions that are hostile, on pictures with hostile names. */
  async function rows(file: string, labels: readonly string[]): Promise<string> {
    const path = join(folder, file);
    await cp('test/fixtures/images/odd-37x53.png', join(folder, name));
    const text = labels.map((label) => JSON.stringify({ image: name, question: `${hostileTexts[1]}?`, label }));
    await writeFile(path, text.join('\n'));
    return path;
  }

  it('reaches no terminal raw when a classifier is fitted and used', async () => {
    const model = ['--model', 'test/fixtures/checkpoints/llava-f32'];
    const labels = [hostileTexts[0], hostileTexts[5]];
    const train = await rows('train.jsonl', [...labels, ...labels]);
    const out = join(folder, 'hostile.safetensors');
    const query = ['--image', join(folder, name)];
    const runs = [
      await headlight('fit', '--train', train, '--out', out, '--heads', '3', ...model),
      await headlight('classify', '--classifier', out, ...query, ...model),
    ];
    for (const { stdout, stderr, code } of runs) {
      expect(`${stdout}${stderr}`).not.toMatch(raw);
      expect(`${stdout}${stderr}`).not.toMatch(/^headlight: all is well/m);
      expect(code).toBe(0);
    }
    for (const { stdout } of runs) expect(stdout).toContain('\\u001b[31mRED');
  });

  it('reaches no terminal raw in errors', async () => {
    const bad = join(folder, '\u001b[31mbad.jsonl');
    await writeFile(bad, JSON.stringify({ image: 'x\u009b.png', question: 'q', label: '\u001b[31m' }));
    for (const args of [
      ['fit', '--train', bad, '--out', join(folder, 'never')],
      ['fit', '--train', '\u001b[2Jnone\u009b', '--out', join(folder, 'never')],
      ['\u001b[31mfrobnicate'],
      ['inspect', '--model', '\u001b]0;pwned\u0007'],
    ]) {
      const { stdout, stderr, code } = await headlight(...args);
      expect(stderr).toContain('\\u');
      expect(`${stdout}${stderr}`).not.toMatch(raw);
      expect(code).toBeGreaterThan(0);
    }
  });
});
