import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFolder } from '../../src/platform/node-write.ts';
import { headlight, interrupted } from './headlight.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-quantize-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function json(...args: string[]) {
  const { code, stdout, stderr } = await headlight(...args, '--json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

const image = 'weights/tiny-llava/tasks/images/warm-cool/test-000.png';
const ask = ['generate', '--image', image, '--prompt', 'What color is it?', '--max-new-tokens', '4'];

describe('headlight quantize', () => {
  it('writes a folder that every command takes, with the answers of --weights', async () => {
    const out = join(folder, 'new', 'q4');
    const result = await json('quantize', 'tiny-llava', '--out', out);
    expect(result).toMatchObject({ out, weights: 'decoder=q4,embeddings=q8,head=q8,projector=q8,tower=q8' });
    expect(await readdir(join(folder, 'new'))).toEqual(['q4']);
    expect((await readdir(out)).sort()).toEqual(result.files.map((file: { name: string }) => file.name).sort());
    const [{ seconds: _, ...stored }, { seconds: __, ...kept }] = [
      await json(...ask, '--model', out),
      await json(...ask, '--weights', 'q4'),
    ];
    expect(stored).toEqual(kept);
    const inspected = await json('inspect', '--model', out);
    expect(Object.keys(inspected.dtypes).sort()).toEqual(['f16', 'q4', 'q8']);
    expect(inspected.bytes).toBe(Object.values<number>(result.formats).reduce((sum, n) => sum + n, 0));
    const refused = await headlight('inspect', '--model', out, '--weights', 'q8');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/--weights: \S+ is stored as q4 and cannot become q8/);
    const other = await headlight(...ask, '--model', out, '--weights', 'decoder=q8');
    expect(other.stderr).toMatch(/headlight: --weights: decoder is q4 in .* and cannot become q8/);

    const classifier = join(folder, 'c.safetensors');
    const rows = join(folder, 'rows.jsonl');
    const row = (label: string, i: number) => JSON.stringify({ image: null, question: `${label} ${i}?`, label });
    await writeFile(rows, ['a', 'b', 'a', 'b'].map(row).join('\n'));
    await json('fit', '--train', rows, '--out', classifier, '--weights', 'q4');
    const used = await headlight('classify', '--classifier', classifier, '--data', rows, '--model', out);
    expect(used.code, used.stderr).toBe(0);
    expect(used.stderr).not.toMatch(/was fitted/);

    const again = await headlight('quantize', 'tiny-llava', '--out', out, '--replace', '--weights', 'q8');
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toMatch(
      /^9 files, 2\.. MiB \(q8 .*\), from 4\.4 MiB of tensors\nnot written, .*: 2 tensors\nin .*q4; use it with: --model/,
    );
    expect(await readdir(join(folder, 'new'))).toEqual(['q4']);
    expect(Object.keys((await json('inspect', '--model', out)).dtypes).sort()).toEqual(['f16', 'q8']);
    const twice = await headlight('quantize', out, '--out', join(folder, 'twice'));
    expect(twice.stderr).toMatch(/it is quantised already/);
    expect(await readdir(folder)).not.toContain('twice');
  });

  it('leaves nothing after Ctrl-C', async () => {
    const out = join(folder, 'q4');
    expect((await interrupted(/quantising/, 'quantize', 'tiny-llava', '--out', out)).code).toBe(130);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a folder written whole', () => {
  async function* pieces(...texts: string[]) {
    for (const text of texts) yield new TextEncoder().encode(text);
  }

  it('stands there once all of it is written, in the place of an empty one or of a link’s target', async () => {
    const [target, link] = [join(folder, 'target'), join(folder, 'link')];
    await mkdir(target);
    await symlink(target, link);
    const result = await writeFolder(link, async (write) => {
      await write('a', pieces('one', 'two'));
      await write('sub/b', pieces());
      expect(await readdir(target)).toEqual([]);
      return 5;
    });
    expect(result).toBe(5);
    expect(await readFile(join(target, 'a'), 'utf8')).toBe('onetwo');
    expect(await readdir(join(target, 'sub'))).toEqual(['b']);
    expect(await readdir(folder)).toEqual(['link', 'target']);
  });

  it('deletes nothing that is there, unless it is to be replaced', async () => {
    const target = join(folder, 'target');
    await mkdir(target);
    await writeFile(join(target, 'old'), 'x');
    const write = (options?: { replace: boolean }) => writeFolder(target, (w) => w('new', pieces('y')), options);
    await expect(write()).rejects.toThrow(/target: cannot be written: it is not empty any more; name another place/);
    expect(await readdir(target)).toEqual(['old']);
    await write({ replace: true });
    expect(await readdir(target)).toEqual(['new']);
    expect(await readdir(folder)).toEqual(['target']);
  });

  it.each([
    [
      Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'write' }),
      /x: cannot be written: the disk is full; make room/,
    ],
    [new Error('mine'), /^mine$/],
  ])('leaves nothing after %s', async (error, message) => {
    const write = writeFolder(join(folder, 'x'), async (write) => {
      await write('a', pieces('one'));
      throw error;
    });
    await expect(write).rejects.toThrow(message);
    expect(await readdir(folder)).toEqual([]);
  });
});
