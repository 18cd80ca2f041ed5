// Every example of docs/ runs as its first lines say, in a process of its own.
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const expected: Record<string, RegExp> = {
  'classify-images.ts':
    /\d+ of 48 heads vote[\s\S]*leave-one-out accuracy \d+ %[\s\S]*(warm|cool) \(truth (warm|cool)\)/,
  'measure-a-kernel.ts': /1 dispatch[\s\S]*largest error \d\.\de-\d+[\s\S]*matmul/,
  'read-a-head.ts': /blocks\.5\.attn\.hook_z \[ 1, 8, 16 \][\s\S]*(\s+\d+){36}/,
};

it.each(readdirSync('docs/examples'))(
  'docs/examples/%s',
  async (file) => {
    const { stdout } = await run(process.execPath, ['--import', 'tsx', '-C', 'development', `docs/examples/${file}`]);
    expect(stdout).toMatch(expected[file]);
  },
  240_000,
);
