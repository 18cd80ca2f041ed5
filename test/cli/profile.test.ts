// `--profile`: what runs is timed, and nothing else about the command changes.
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { headlight } from './headlight.ts';

const prompt = ['--image', 'test/fixtures/images/scene.png', '--prompt', 'What is in the image?'];

it('says where the time of generate went, on stderr', async () => {
  const plain = await headlight('generate', ...prompt, '--max-new-tokens', '3');
  const found = await headlight('generate', ...prompt, '--max-new-tokens', '3', '--profile');
  expect(found.code).toBe(0);
  expect(found.stdout).toBe(plain.stdout);
  if (/no timestamps/.test(found.stderr)) return;
  expect(found.stderr).toMatch(/kernel +runs +ms +share +GFLOP\/s +GB\/s\n(headlight: )?matmul/);
  const [, dispatches] = /all +(\d+) +[\d.]+/.exec(found.stderr)!;
  expect(Number(dispatches)).toBeGreaterThan(125); // the prompt's alone: test/model/kernels.test.ts
  expect(plain.stderr).not.toContain('GFLOP/s');
});

it('is in --json', async () => {
  const out = join(tmpdir(), `headlight-profile-${process.pid}.safetensors`);
  const names = ['--names', 'blocks.5.attn.hook_z', '--out', out];
  const found = await headlight('capture', ...prompt, ...names, '--profile', '--json');
  await rm(out);
  expect(found.code).toBe(0);
  if (/no timestamps/.test(found.stderr)) return;
  const { profile } = JSON.parse(found.stdout);
  const runs = profile.reduce((sum: number, { count }: { count: number }) => sum + count, 0);
  expect(runs).toBe(117); // what the head outputs take: test/model/kernels.test.ts
  for (const row of profile) expect(row.milliseconds).toBeGreaterThan(0);
  expect(profile.map(({ kernel }: { kernel: string }) => kernel)).toContain('attention.quad');
});
