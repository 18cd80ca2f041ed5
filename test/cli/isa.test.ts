import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { headlight } from './headlight.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-isa-test-'));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

/** In the place of bench/isa/isa.sh: a row for each kernel that it is given, with its length as the count of instructions. */
const fake = `#!/usr/bin/env node
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs');
const [, , flag, out, gpu, kernels] = process.argv;
if (flag !== '--out') process.exit(2);
if (gpu === 'no:gpu') { console.error('isa.sh: unknown GPU'); process.exit(2); }
const hotLoop = { instr: 30, fma: 8, gmem: 2, lds: 3, branch: 1, mov: 4, spill: 0, other: 12 };
const row = ({ name, code }) => ({ label: name, summary: { regs: 24, spills: 0, scratch: 0, instr: code.length }, hotLoop });
mkdirSync(out + '/' + gpu.replaceAll(':', '_'), { recursive: true });
const rows = JSON.parse(readFileSync(kernels)).map(row);
writeFileSync(out + '/' + gpu.replaceAll(':', '_') + '/stats.json', JSON.stringify(gpu === 'bad:rows' ? [{}] : rows));
`;

async function withTool(): Promise<void> {
  const tool = join(folder, 'isa.cjs');
  await writeFile(tool, fake);
  await chmod(tool, 0o755);
  vi.stubEnv('HEADLIGHT_ISA', tool);
}

describe('headlight isa', () => {
  it('prints what the tool finds of a file', async () => {
    await withTool();
    const file = join(folder, 'mine.wgsl');
    await writeFile(file, '12345');
    const { code, stdout, stderr } = await headlight('isa', file, '--gpu', 'amd:x', '--gpu', 'nv:y');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/mine +24 +0 +0 +5 +30 +8 +2 +3 +1 +4 +amd:x\nmine .* nv:y/);
  });

  it('takes the kernels of an operation, each text once', async () => {
    await withTool();
    const { code, stdout, stderr } = await headlight('isa', '--op', 'add', '--gpu', 'amd:x', '--json');
    expect(code, stderr).toBe(0);
    const { kernels } = JSON.parse(stdout);
    expect(kernels.length).toBeGreaterThan(0);
    expect(kernels[0]).toMatchObject({ label: 'add #0', gpu: 'amd:x' });
  });

  it('says what is wrong, and what to do', async () => {
    const fail = async (...args: string[]) => {
      const { code, stderr } = await headlight('isa', ...args);
      return `${code}: ${stderr}`;
    };
    vi.stubEnv('HEADLIGHT_ISA', '');
    expect(await fail('--op', 'add')).toMatch(
      /^2: headlight: HEADLIGHT_ISA is not set: set up the tool with bench\/isa\/setup/,
    );
    await withTool();
    expect(await fail()).toMatch(/^2: headlight: give WGSL files, or --op/);
    expect(await fail('--op', 'x')).toMatch(/^2: headlight: --op x: no operation of this name; there are attention, /);
    expect(await fail('none.wgsl')).toMatch(/^2: headlight: none\.wgsl: no such file/);
    expect(await fail('--op', 'add', '--gpu', 'no:gpu')).toMatch(
      /^1: headlight: .*isa\.cjs: no:gpu: isa\.sh: unknown GPU/,
    );
    expect(await fail('--op', 'add', '--gpu', 'bad:rows')).toMatch(
      /^1: .*its stats\.json is not as this version reads it/,
    );
  });
});
