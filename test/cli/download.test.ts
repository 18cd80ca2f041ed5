// Downloads from a hub on this machine that cuts, corrupts, redirects and lies.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Context } from '../../src/cli/context.ts';
import { reportDownload } from '../../src/cli/download.ts';
import { openCheckpointFolder } from '../../src/hub/checkpoint-folder.ts';
import { type DownloadOptions, download } from '../../src/hub/download.ts';
import { fetchPart } from '../../src/hub/download-file.ts';
import { Hub } from '../../src/hub/hub.ts';
import { FakeHub, type Fault, type Served } from './fake-hub.ts';

const record = '.headlight-download.json';
let hub: FakeHub;
let folder: string;
let out: string;
beforeAll(async () => {
  hub = await new FakeHub().start();
});
afterAll(() => hub.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-download-'));
  out = join(folder, 'model');
  hub.reset(single());
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const text = (content: string): Served => ({ bytes: new TextEncoder().encode(content) });
const large = (length: number, seed = 1): Served => ({
  bytes: Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * seed) & 255),
  lfs: true,
});
const weights = 300_000;
const single = (): Record<string, Served> => ({
  'README.md': text('# hello'),
  'config.json': text('{"a": 1}'),
  'tokenizer.json': text('{}'),
  'chat_template.jinja': text('{{ x }}'),
  'model.safetensors': large(weights),
  'consolidated.safetensors': large(10),
  'pytorch_model.bin': large(10),
  'onnx/model.onnx': large(10),
});
const index = (...shards: string[]): Served =>
  text(JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`t${i}`, shard])) }));
const sharded = (): Record<string, Served> => ({
  'config.json': text('{}'),
  'model.safetensors.index.json': index('model-1.safetensors', 'part/model-2.safetensors'),
  'model-1.safetensors': large(1000),
  'part/model-2.safetensors': large(2000, 2),
  'model-3.safetensors': large(10),
});

class Quiet extends Context {
  readonly said: string[] = [];
  constructor(signal = new AbortController().signal) {
    super(true, signal);
  }
  override result(): void {}
  override note(line: string): void {
    this.said.push(line);
  }
}

async function run(options: Partial<DownloadOptions> = {}, signal?: AbortSignal): Promise<string[]> {
  const context = new Quiet(signal);
  const { endpoint } = hub;
  const all = { endpoint, revision: 'main', out, backoffSeconds: () => 0, ...options };
  reportDownload(context, await download(context, hub.repo, all));
  return context.said.filter((line) => !line.endsWith('…'));
}

/** Sizes by path, but of files that a download renames in the meantime. */
async function sizes(): Promise<[name: string, size: number][]> {
  const size = (name: string) =>
    stat(join(out, name)).then(
      ({ size }): [string, number][] => [[name, size]],
      () => [],
    );
  return (await Promise.all((await there()).map(size))).flat();
}

/** The folder's files, by path. */
async function there(): Promise<string[]> {
  const entries = await readdir(out, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((e) => e.isFile())
    .map((e) => join(e.parentPath, e.name).slice(out.length + 1))
    .sort();
}
const expectAll = async (...names: string[]) => {
  expect(await there()).toEqual([record, ...names].sort());
  for (const name of names)
    expect((await readFile(join(out, name))).equals(hub.files.get(name)!.bytes), name).toBe(true); // toEqual is slow
};
const needed = ['chat_template.jinja', 'config.json', 'model.safetensors', 'tokenizer.json'];

describe('what is downloaded', () => {
  it('is what a checkpoint is loaded from, and a second run fetches nothing', async () => {
    expect(await run()).toEqual([]);
    await expectAll(...needed);
    expect(hub.fetched.sort()).toEqual(needed);
    expect(JSON.parse(await readFile(join(out, record), 'utf8'))).toMatchObject({
      repo: hub.repo,
      revision: 'main',
      commit: hub.commit,
      complete: true,
    });
    hub.requests = [];
    expect(await run()).toEqual([]);
    expect(hub.fetched).toEqual([]);
  });

  it('is the shards that the index names, and no others', async () => {
    hub.reset(sharded());
    await run();
    await expectAll('config.json', 'model.safetensors.index.json', 'model-1.safetensors', 'part/model-2.safetensors');
    expect(hub.fetched.filter((name) => name.endsWith('index.json'))).toHaveLength(1);
  });

  it('is nothing without safetensors: the error says what is there, and what to do', async () => {
    const { 'model.safetensors': _, ...files } = single();
    hub.reset(files);
    await expect(run()).rejects.toThrow(/someone\/tiny at main.*pytorch_model\.bin is a pickle.*convert it/);
    hub.reset({ 'model.gguf': large(10), 'config.json': text('{}') });
    await expect(run()).rejects.toThrow(/neither model\.safetensors nor .* it has "model\.gguf", "config\.json"/);
    expect(await there()).toEqual([]);
  });
});

describe('a connection that breaks', () => {
  it.each<[string, Fault]>([
    ['cut', { cutAfter: 100_001 }],
    ['ended early', { endEarlyAt: 100_001 }],
  ])('%s: goes on from where it was, and that is said', async (_, fault) => {
    hub.faults = { 'model.safetensors': [fault] };
    const said = await run();
    expect(said).toHaveLength(1);
    // What came without a length to compare is kept only if it is all there: it could be anything.
    const from = 'cutAfter' in (fault as object) ? 100_001 : 0;
    expect(said[0]).toMatch(/^model\.safetensors: the connection (broke|ended early)/);
    expect(said[0]).toContain(`; on from byte ${from} of 300000`);
    expect(hub.fetched.slice(-2)).toEqual(['model.safetensors', `model.safetensors${from ? ` from ${from}` : ''}`]);
    await expectAll(...needed);
  });

  it('a busy server is asked again, five times in a row', async () => {
    hub.faults = { 'config.json': [{ status: 503 }, { status: 429 }] };
    expect(await run()).toHaveLength(2);
    await rm(out, { recursive: true });
    hub.requests = [];
    hub.faults = { 'config.json': Array.from({ length: 9 }, () => ({ status: 500 })) };
    await expect(run()).rejects.toThrow(/config\.json: .* answered 500.*given up after 5 tries/);
    expect(hub.fetched).toHaveLength(6);
  });

  it('a file starts again where the server does no ranges, and that does not go on for ever', async () => {
    hub.ignoreRange = true;
    hub.faults = { 'model.safetensors': [{ cutAfter: 1000 }] };
    expect(await run()).toEqual([
      expect.stringMatching(/on from byte 1000/),
      'model.safetensors: the server cannot continue a file; starting it again',
    ]);
    await expectAll(...needed);
    await rm(out, { recursive: true });
    hub.faults = { 'model.safetensors': Array.from({ length: 20 }, () => ({ cutAfter: 1000 })) };
    await expect(run()).rejects.toThrow(/given up after 5 tries/);
  });

  it('a server that stops sending is given up', async () => {
    hub.faults = { 'config.json': Array.from({ length: 9 }, () => 'hang' as const) };
    const client = new Hub(hub);
    const snapshot = await client.snapshot(hub.repo, 'main');
    const fetching = fetchPart(join(folder, 'part'), snapshot.files.get('config.json')!, {
      source: (offset, signal) => client.open(snapshot, 'config.json', offset, signal),
      signal: new AbortController().signal,
      onProgress: () => {},
      note: () => {},
      backoffSeconds: () => 0,
      stallSeconds: 0.05,
    });
    await expect(fetching).rejects.toThrow(/nothing came for 0\.05 s; given up/);
  });

  it('an answer that neither ends nor hears the signal is given up, and ends with the command', async () => {
    const user = new AbortController();
    const fetching = (stallSeconds: number) =>
      fetchPart(
        join(folder, 'part'),
        { path: 'x', size: 10, algorithm: 'sha256', hash: 'a'.repeat(64) },
        {
          source: async () => new Response(new ReadableStream(), { headers: { 'content-length': '10' } }),
          signal: user.signal,
          onProgress: () => {},
          note: () => {},
          backoffSeconds: () => 0,
          stallSeconds,
        },
      );
    await expect(fetching(0.02)).rejects.toThrow(/the connection broke \(nothing came for 0\.02 s\); given up/);
    const waiting = fetching(60);
    setTimeout(() => user.abort(new Error('interrupted')), 50);
    await expect(waiting).rejects.toThrow('interrupted');
  });

  it('a server that is not there', async () => {
    await expect(run({ endpoint: 'http://127.0.0.1:9' })).rejects.toThrow(/127\.0\.0\.1:9 cannot be reached: /);
  });
});

describe('an interrupted run', () => {
  it('leaves a part, which the next run continues; the folder is not taken for a checkpoint meanwhile', async () => {
    const interrupted = new AbortController();
    const at = 100_000;
    hub.faults = { 'model.safetensors': [{ stallAt: at }] };
    const running = run({}, interrupted.signal);
    await expect.poll(async () => (await sizes()).find(([name]) => name.startsWith('model'))?.[1]).toBe(at);
    interrupted.abort(new Error('interrupted'));
    await expect(running).rejects.toThrow('interrupted');
    expect((await there()).filter((name) => name.startsWith('model'))).toEqual([
      expect.stringMatching(/^model\.safetensors\.[0-9a-f]{16}\.part$/),
    ]);
    await expect(openCheckpointFolder(out)).rejects.toThrow(
      `not complete; continue it with: headlight download someone/tiny --out ${JSON.stringify(out)}`,
    );
    hub.requests = [];
    await run();
    expect(hub.fetched).toEqual([`model.safetensors from ${at}`]);
    await expectAll(...needed);
  });

  it('a new commit in between: what changed is fetched afresh, what did not is kept', async () => {
    hub.faults = { 'model.safetensors': Array.from({ length: 9 }, () => ({ cutAfter: 0 })) };
    hub.faults['model.safetensors'][0] = { cutAfter: 5000 };
    await expect(run()).rejects.toThrow(/given up/);
    hub.reset({ ...single(), 'model.safetensors': large(weights, 7), 'config.json': text('{"a": 2}') });
    hub.commit = 'd'.repeat(40);
    const said = await run();
    expect(said).toEqual([expect.stringMatching(/^not as in .*d{12}.*config\.json$/)]);
    expect(hub.fetched).toEqual(['config.json', 'model.safetensors']);
    await expectAll(...needed);
  });

  it('a new commit with other shards deletes the old ones before the first new one comes', async () => {
    await run();
    hub.reset(sharded());
    hub.refusal = { status: 500, where: 'content' };
    hub.commit = 'd'.repeat(40);
    await expect(run()).rejects.toThrow(/500/);
    expect(await there()).toContain('model.safetensors'); // the index was not got: nothing is touched
    hub.refusal = undefined;
    hub.faults = { 'model-1.safetensors': Array.from({ length: 9 }, () => ({ status: 500 })) };
    await expect(run()).rejects.toThrow(/500/);
    expect(await there()).not.toContain('model.safetensors');
    await run();
    await expectAll('config.json', 'model.safetensors.index.json', 'model-1.safetensors', 'part/model-2.safetensors');
  });
});

describe('wrong bytes', () => {
  it.each<[string, Record<string, Fault[]>, RegExp]>([
    [
      'a flipped bit in a large file',
      { 'model.safetensors': [{ flipByte: 299_999 }] },
      /model\.safetensors: its sha256 is/,
    ],
    ['a flipped bit in a small file', { 'config.json': [{ flipByte: 2 }] }, /config\.json: its git-sha1 is/],
    ['too many bytes', { 'model.safetensors': [{ extra: 1 }] }, /model\.safetensors: it is longer than the hub lists/],
  ])('%s: deleted and said; the next run fetches it afresh', async (_, faults, message) => {
    hub.faults = faults;
    await expect(run()).rejects.toThrow(message);
    const [name] = Object.keys(faults);
    expect((await sizes()).filter(([file, size]) => file.startsWith(name) && size > 0)).toEqual([]);
    hub.requests = [];
    await run();
    expect(hub.fetched).toContain(name);
    await expectAll(...needed);
  });

  it('a part that was damaged on disk is found', async () => {
    hub.faults = { 'model.safetensors': [{ cutAfter: 5000 }, ...Array.from({ length: 9 }, () => ({ cutAfter: 0 }))] };
    await expect(run()).rejects.toThrow(/given up/);
    hub.faults = {};
    const part = join(out, (await there()).find((name) => name.endsWith('.part'))!);
    await writeFile(part, new Uint8Array(5000));
    await expect(run()).rejects.toThrow(/its sha256 is/);
    await run();
    await expectAll(...needed);
  });

  it('a file that was damaged on disk, or edited, is fetched again, and that is said', async () => {
    await run();
    await writeFile(join(out, 'config.json'), '{"a": 3}');
    expect(await run()).toEqual([expect.stringMatching(/fetched again: config\.json/)]);
    await expectAll(...needed);
  });

  it('files that no download put there are not touched', async () => {
    await mkdir(out);
    await writeFile(join(out, 'config.json'), 'mine');
    await expect(run()).rejects.toThrow(/config\.json: there already, but not as in .*another folder with --out/);
    expect(await readFile(join(out, 'config.json'), 'utf8')).toBe('mine');
    await rm(out, { recursive: true });
    await run();
    await expect(
      download(new Quiet(), 'someone/else', { endpoint: hub.endpoint, revision: 'main', out }),
    ).rejects.toThrow(/holds someone\/tiny; give another folder/);
  });

  it.each<[string, Served['listed'], RegExp]>([
    ['longer', { size: weights + 1 }, /lists 300001 bytes, but the server has 300000/],
    ['shorter', { size: weights - 1 }, /lists 299999 bytes, but the server has 300000/],
    ['negative', { size: -1 }, /listed with -1 bytes/],
    ['no number', { size: 'many' as never }, /listed with many bytes/],
    ['more than the disk', { size: 2 ** 52 }, /still to be fetched, but the disk has .* free/],
    ['a hash that is none', { hash: '../../../x' }, /without a usable hash/],
  ])('a listing that lies: %s', async (_, listed, message) => {
    hub.files.set('model.safetensors', { ...large(weights), listed });
    await expect(run()).rejects.toThrow(message);
    expect(await there()).not.toContain('model.safetensors');
  });
});

describe('names from the hub', () => {
  it.each(['../model-1.safetensors', '/tmp/model.safetensors', 'a\\..\\b.safetensors', 'a/./b.safetensors', 'x.bin'])(
    'an index that names %j is refused',
    async (shard) => {
      hub.reset({ ...sharded(), 'model.safetensors.index.json': index(shard), [shard]: large(10) });
      await expect(run()).rejects.toThrow(/shards must be \.safetensors files inside the folder/);
      expect(await readdir(folder)).toEqual(['model']);
      expect(await there()).toEqual([expect.stringMatching(/^model\.safetensors\.index\.json\.[0-9a-f]{16}\.part$/)]);
    },
  );

  it('a listing with paths outside is harmless: only known names are taken', async () => {
    hub.reset({ '../config.json': text('x'), '/config.json': text('x'), ...single() });
    await run();
    await expectAll(...needed);
    expect(await readdir(folder)).toEqual(['model']);
  });

  it('an index that names what is not there', async () => {
    hub.reset({ ...sharded(), 'model.safetensors.index.json': index('model-9.safetensors') });
    await expect(run()).rejects.toThrow(/names shards that are not there: "model-9\.safetensors"/);
  });

  it('a record that would delete files outside is refused', async () => {
    await run();
    const json = JSON.parse(await readFile(join(out, record), 'utf8'));
    json.files.push({ ...json.files[0], path: '../precious' });
    await writeFile(join(out, record), JSON.stringify(json));
    await writeFile(join(folder, 'precious'), 'x');
    await expect(run()).rejects.toThrow(/not a record of a download/);
    expect(await readdir(folder)).toContain('precious');
  });
});

describe('access', () => {
  it('the token goes to the hub, and not to where it redirects', async () => {
    await run({ token: 'secret' });
    const sent = (host: string) => hub.requests.filter((r) => r.host === host).map((r) => r.headers.authorization);
    expect(new Set(sent('hub'))).toEqual(new Set(['Bearer secret']));
    expect(sent('cdn')).toEqual([undefined]);
  });

  it.each<[FakeHub['refusal'], string | undefined, RegExp]>([
    [{ status: 401, where: 'api' }, undefined, /no such model at .*check the spelling, or set HF_TOKEN/],
    [{ status: 404, code: 'RepoNotFound', where: 'api' }, 't', /no such model at .*that HF_TOKEN may read it/],
    [{ status: 404, code: 'RevisionNotFound', where: 'api' }, undefined, /has no revision "main"/],
    [
      { status: 401, code: 'GatedRepo', where: 'content' },
      undefined,
      /accept its licence at .*\/someone\/tiny, then set/,
    ],
    [
      { status: 403, code: 'GatedRepo', where: 'content' },
      't',
      /gated: accept its licence at .* that HF_TOKEN belongs/,
    ],
    [{ status: 401, where: 'api' }, 't', /does not accept HF_TOKEN/],
    [{ status: 403, where: 'content' }, 't', /access denied/],
    [
      { status: 404, code: 'EntryNotFound', where: 'content' },
      undefined,
      /chat_template\.jinja is not there|config\.json is not there/,
    ],
  ])('%j with token %j', async (refusal, token, message) => {
    hub.refusal = refusal;
    await expect(run({ token })).rejects.toThrow(message);
  });

  it('an endpoint or token that cannot be used; the token is not shown', async () => {
    await expect(run({ endpoint: 'huggingface.co' })).rejects.toThrow(/no hub's address \(HF_ENDPOINT\)/);
    await expect(run({ token: 'se\ncret' })).rejects.toThrow(/^HF_TOKEN holds spaces or other characters/);
  });
});

describe('the command', () => {
  const repository = resolve('.');
  const env = () => ({
    HF_ENDPOINT: hub.endpoint,
    HF_TOKEN: '',
    HEADLIGHT_HOME: join(folder, 'home'),
    HF_HUB_CACHE: join(folder, 'hf'),
  });
  const start = (args: string[], then: Parameters<typeof execFile>[3]) =>
    execFile(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), '-C', 'headlight-source', join(repository, 'src/cli/main.ts'), ...args],
      { cwd: folder, env: { ...process.env, ...env() } },
      then,
    );
  const headlight = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    new Promise((done) => {
      start(args, (error, stdout, stderr) =>
        done({ code: error ? Number(error.code ?? 1) : 0, stdout: String(stdout), stderr: String(stderr) }),
      );
    });

  it('downloads a checkpoint, through a cut, that --model then finds by its id', async () => {
    const fixture = resolve('test/fixtures/checkpoints/llava-bf16');
    const names = (await readdir(fixture)).filter((name) => !name.startsWith('expected'));
    const read = async (name: string) => [
      name,
      { bytes: await readFile(join(fixture, name)), lfs: name.endsWith('.safetensors') },
    ];
    hub.reset(Object.fromEntries(await Promise.all(names.map(read))));
    const before = await headlight('inspect', '--model', hub.repo);
    expect(before).toMatchObject({ code: 1, stdout: '' });
    expect(before.stderr).toMatch(
      /someone\/tiny: no such folder, and no such model in .*headlight download someone\/tiny/,
    );

    hub.faults = { 'model-00002-of-00003.safetensors': [{ cutAfter: 100 }] };
    const { code, stdout, stderr } = await headlight('download', hub.repo, '--json');
    expect(stderr).toMatch(/model-00002-of-00003\.safetensors: the connection broke .* on from byte 100 of \d+ in 1 s/);
    expect(code, stderr).toBe(0);
    const { files, ...rest } = JSON.parse(stdout);
    expect(rest).toMatchObject({
      repo: hub.repo,
      commit: hub.commit,
      folder: join(folder, 'home', 'models', 'someone', 'tiny'),
    });
    expect(files.map((file: { path: string }) => file.path).sort()).toEqual(names.sort());

    const inspected = await headlight('inspect', '--model', hub.repo, '--json');
    expect(inspected.code, inspected.stderr).toBe(0);
    expect(JSON.parse(inspected.stdout).files).toHaveLength(3);
  });

  it('exits with 2 for what is no id, and with 1 for what is not there', async () => {
    const [bad, missing] = await Promise.all([headlight('download', '../x'), headlight('download', 'no/such')]);
    expect(bad).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^headlight: \.\.\/x is no model's id; give owner\/name/),
    });
    expect(missing).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^headlight: no\/such: there is no such model at/),
    });
  });

  it('Ctrl-C ends it with 130, and leaves no half of a file', async () => {
    hub.faults = { 'model.safetensors': [{ stallAt: 1000 }] };
    const code = await new Promise<number>((done) => {
      const child = start(['download', hub.repo, '--out', out], () => {});
      child.on('exit', (code) => done(code ?? -1));
      const waiting = setInterval(async () => {
        if (!(await sizes()).some(([name, size]) => name.endsWith('.part') && size === 1000)) return;
        clearInterval(waiting);
        child.kill('SIGINT');
      }, 20);
    });
    expect(code).toBe(130);
    expect(await there()).not.toContain('model.safetensors');
  });
});
