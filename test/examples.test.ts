// Every example of docs/ runs as its first lines say, in a process of its own.
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const expected: Record<string, RegExp> = {
  'classify-images.ts':
    /\d+ of 48 heads vote[\s\S]*leave-one-out accuracy \d+ %[\s\S]*(warm|cool) \(truth (warm|cool)\)/,
  'entropy-per-head.ts':
    /(blocks\.\d\.attn\.hook_entropy \[1,8\]( \d\.\d\d){8}\n){6}largest difference .* (0\.0e\+0|\de-(0?[6-9]|\d\d)|\d\.\de-(0?[6-9]|\d\d))/,
  'measure-a-kernel.ts': /1 dispatch[\s\S]*largest error \d\.\de-\d+[\s\S]*matmul/,
  'read-a-head.ts': /blocks\.5\.attn\.hook_z \[ 1, 8, 16 \][\s\S]*(\s+\d+){36}/,
  'sliding-window.ts':
    /\d+ problems against float64: all pass\n.*built-in window \d\.\de-(0?[6-9]|\d\d)\n.*full attention \d\.\de(-[1-3]|\+0)\n(.* as before\n){4}(.* changed\n){2}/,
  'temperature-per-head.ts':
    /\d+ problems against float64: all pass\n.*temperature 1 \d\.\de-(0?[6-9]|\d\d)\n.*temperature 2 \d\.\de(-[1-3]|\+0)\n(head 5\.[0-2] as before\n){3}head 5\.3 changed\n(head 5\.[4-7] as before\n){4}at temperature 4/,
};

it.each(readdirSync('docs/examples').filter((file) => file.endsWith('.ts')))(
  'docs/examples/%s',
  async (file) => {
    const { stdout } = await run(process.execPath, ['--import', 'tsx', '-C', 'development', `docs/examples/${file}`]);
    expect(stdout).toMatch(expected[file]);
  },
  240_000,
);
