// Downloads from a hub that lies and breaks at random, by processes that are killed and that run beside each other. Always: what
// is recorded as complete is right to the last byte, and what was right of a part is not lost to a bad answer.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Context } from '../../src/cli/context.ts';
import { reportDownload } from '../../src/cli/download.ts';
import { openCheckpointFolder } from '../../src/hub/checkpoint-folder.ts';
import { type DownloadOptions, download } from '../../src/hub/download.ts';
import { FolderLock } from '../../src/hub/download-lock.ts';
import { FakeHub, type Fault, type Served } from './fake-hub.ts';

let hub: FakeHub;
let folder: string;
let out: string;
beforeAll(async () => {
  hub = await new FakeHub().start();
});
afterAll(() => hub.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-faults-'));
  out = join(folder, 'model');
  vi.stubEnv('HEADLIGHT_HOME', join(folder, 'home'));
  vi.stubEnv('HF_HUB_CACHE', join(folder, 'hf'));
  hub.reset(model());
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

const size = 300_000;
const text = (content: string): Served => ({ bytes: new TextEncoder().encode(content) });
const large = (length: number, seed = 1): Served => ({
  bytes: Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * seed) & 255),
  lfs: true,
});
const model = (): Record<string, Served> => ({
  'config.json': text('{"a": 1}'),
  'tokenizer.json': text(`[${'1,'.repeat(3000)}1]`),
  'model.safetensors': large(size),
});
const weights = 'model.safetensors';

class Quiet extends Context {
  readonly said: string[] = [];
  results: { folder: string }[] = [];
  constructor(signal = new AbortController().signal) {
    super(true, signal);
  }
  override result(value: unknown): void {
    this.results.push(value as { folder: string });
  }
  override note(line: string): void {
    if (!line.endsWith('…')) this.said.push(line);
  }
}

async function run(options: Partial<DownloadOptions> = {}, signal?: AbortSignal): Promise<Quiet> {
  const context = new Quiet(signal);
  const { endpoint } = hub;
  const all = { endpoint, revision: 'main', out, backoffSeconds: () => 0, ...options };
  reportDownload(context, await download(context, hub.repo, all));
  return context;
}

/** Checks what must always hold. @returns whether the record says complete. */
async function check(at = out): Promise<boolean> {
  const record = await readFile(join(at, '.headlight-download.json'), 'utf8').catch(() => undefined);
  const { complete, files } = record === undefined ? { complete: false, files: [] } : JSON.parse(record);
  if (complete) {
    expect(files).toHaveLength(hub.files.size);
    for (const [name, { bytes }] of hub.files) expect((await readFile(join(at, name))).equals(bytes), name).toBe(true);
  } else await expect(openCheckpointFolder(at)).rejects.toThrow();
  return complete;
}

/** Bytes of a file's part that are there and right. */
async function rightBytes(name = weights): Promise<number> {
  const names = await readdir(out).catch(() => []);
  const part = names.find((n) => n === name) ?? names.find((n) => n.startsWith(name) && n.endsWith('.part'));
  if (!part) return 0;
  const bytes = await readFile(join(out, part));
  const { bytes: right } = hub.files.get(name)!;
  return bytes.every((byte, i) => byte === right[i]) ? bytes.length : 0;
}

/** A download that broke off after so many bytes of the weights. */
async function broken(after = 100_000): Promise<void> {
  hub.faults = { [weights]: [{ cutAfter: after }, { status: 403 }] };
  await expect(run()).rejects.toThrow(/access denied/);
  expect(await rightBytes()).toBe(after);
}

const page = (type: string, length = 500, withLength = false): Fault => ({
  page: '<html>'.padEnd(length, 'x'),
  type,
  withLength,
});

describe('a bad answer', () => {
  it.each<[string, Fault, RegExp]>([
    [
      'a sign-in page',
      page('text/html; charset=utf-8'),
      /answered with a web page instead: does this network want a sign-in/,
    ],
    ['a sign-in page with its length', page('TEXT/HTML', 500, true), /a web page/],
    ['other words with their length', page('text/plain', 500, true), /the server has 500/],
    ['a range elsewhere', { shiftRange: 5 }, /asked for bytes from 100000 on, the server sends "bytes 100005-/],
    ['another total', { total: size + 1 }, /the server has 300001/],
    [
      'a redirect to nowhere',
      { redirect: 'file:///etc/passwd' },
      /redirects to "file:\/\/\/etc\/passwd", which is not followed/,
    ],
  ])('%s ends the run; the part is kept, and the next run completes it', async (_, fault, message) => {
    await broken();
    hub.faults = { [weights]: [fault] };
    await expect(run()).rejects.toThrow(message);
    expect(await rightBytes()).toBe(100_000);
    hub.requests = [];
    await run();
    expect(hub.fetched).toEqual([`${weights} from 100000`]);
    expect(await check()).toBe(true);
  });

  it.each<[string, Fault[]]>([
    ['words without their length', [page('text/plain')]],
    ['words without their length, as many as were asked for', [page('application/octet-stream', size)]],
    ['all of it, cut early', ['whole', { cutAfter: 10 }]],
    ['no such range', [{ status: 416 }]],
    ['compressed', ['gzip']],
    ['wrong bytes', [{ flipByte: 100 }]],
    ['too many bytes', [{ extra: 1 }]],
  ])('%s: nothing right is lost', async (_, faults) => {
    await broken();
    hub.faults = { [weights]: faults };
    await run().catch(() => {});
    expect(await rightBytes()).toBeGreaterThanOrEqual(100_000);
    await run();
    expect(await check()).toBe(true);
  });

  it('at the start is not taken for a part that the next run would continue', async () => {
    hub.faults = { [weights]: [page('text/plain'), { status: 403 }] };
    await expect(run()).rejects.toThrow(/access denied/);
    hub.requests = [];
    await run();
    expect(hub.fetched).toEqual([weights]);
    expect(await check()).toBe(true);
  });

  it('a circle of redirects ends', async () => {
    hub.faults = { [weights]: Array.from({ length: 40 }, () => ({ redirect: `${hub.endpoint}/content/${weights}` })) };
    await expect(run()).rejects.toThrow(/redirects more than 10 times/);
  });
});

describe('a slow or busy server', () => {
  it('the listing is asked for again, and that is said', async () => {
    hub.listFaults = [{ status: 503 }, undefined, { status: 429 }, { status: 502 }];
    const { said } = await run();
    expect(said).toHaveLength(3);
    expect(said[0]).toMatch(/someone\/tiny: .* answered 503; try again later; again in 0 s \(try 1 of 5\)/);
    hub.listFaults = Array.from({ length: 9 }, () => ({ status: 504 }));
    await expect(run()).rejects.toThrow(/answered 504.*given up after 5 tries/);
    hub.listFaults = [page('text/html')];
    await expect(run()).rejects.toThrow(/answered with a web page/);
    hub.listFaults = [page('application/json')];
    expect((await run()).said).toEqual([expect.stringMatching(/what came is not JSON, or not all of it; again/)]);
  });

  it('Retry-After is waited for, in seconds or until a date, but not for ever', async () => {
    const date = new Date(Date.now() + 1500).toUTCString();
    hub.listFaults = [{ status: 429, retryAfter: '1' }];
    hub.faults = {
      [weights]: [
        { status: 503, retryAfter: date },
        { status: 503, retryAfter: 'soon' },
      ],
    };
    const start = Date.now();
    const { said } = await run();
    expect(said[0]).toMatch(/again in 1 s/);
    expect(said[2]).toMatch(/in 0 s/);
    expect(Date.now() - start).toBeGreaterThan(1000);
    await rm(out, { recursive: true });
    hub.faults = { [weights]: [{ status: 429, retryAfter: '86400' }] };
    await expect(run()).rejects.toThrow(/asks for a pause of 86400 s, which is not waited for \(at most 300 s\)/);
  });
});

describe('the lock', () => {
  const signal = new AbortController().signal;
  const lock = () => join(folder, '.headlight-download.lock');
  const take = (said: string[] = [], s = signal) =>
    FolderLock.take(folder, { signal: s, note: (line) => said.push(line), lookSeconds: 0.01 });

  it('is held by one, and waited for, which is said once', async () => {
    const said: string[] = [];
    const first = await take();
    let second: FolderLock | undefined;
    const waiting = take(said).then((lock) => {
      second = lock;
    });
    await new Promise((done) => setTimeout(done, 600)); // more looks than a silent holder elsewhere would be given
    expect(second).toBeUndefined();
    expect(said).toEqual([expect.stringMatching(`process ${process.pid} on .* downloads into .*; waiting`)]);
    await first.release();
    await waiting;
    await second!.release();
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['a process that is gone', { pid: 2 ** 22 + 1 }],
    ['an earlier process with an id that is used again', { pid: process.pid, started: '1' }],
    ['another machine that is silent', { machine: 'elsewhere', pid: 1 }],
    ['nobody', undefined],
  ])('is taken from %s', async (_, holder) => {
    const mine = await take();
    const text = await readFile(lock(), 'utf8');
    await mine.release();
    await writeFile(lock(), holder ? JSON.stringify({ ...JSON.parse(text), token: 'x', ...holder }) : '');
    await (await take()).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('is not taken from another machine that touches it', async () => {
    await writeFile(lock(), JSON.stringify({ token: 'x', machine: 'elsewhere', pid: 1 }));
    const touching = setInterval(
      () => void utimes(lock(), new Date(), new Date(Math.random() * 1e12)).catch(() => {}),
      20,
    );
    const stop = new AbortController();
    const waiting = take([], stop.signal);
    await new Promise((done) => setTimeout(done, 800));
    stop.abort(new Error('enough'));
    await expect(waiting)
      .rejects.toThrow('enough')
      .finally(() => clearInterval(touching));
  });

  it('is one process’s where many want a dead one’s at once', async () => {
    for (let round = 0; round < 2; round++) {
      const dead = { token: 'x', machine: 'elsewhere', pid: 1 };
      await writeFile(lock(), JSON.stringify(dead));
      let held = 0;
      await Promise.all(
        Array.from({ length: 6 }, async () => {
          const mine = await take();
          expect(++held).toBe(1);
          await new Promise((done) => setTimeout(done, 5));
          held--;
          await mine.release();
        }),
      );
    }
  });
});

/** Numbers from 0 to n - 1, the same for a seed. */
const random = (seed: number) => {
  let count = 0;
  return (n: number) => createHash('sha256').update(`${seed} ${count++}`).digest().readUInt32LE() % n;
};

function randomFault(pick: (n: number) => number): Fault {
  const faults: (() => Fault)[] = [
    () => ({ cutAfter: pick(size) }),
    () => ({ endEarlyAt: pick(size) }),
    () => ({ status: [429, 500, 502, 503, 504, 416][pick(6)] }),
    () => page('text/html', pick(3000), pick(2) === 0),
    () => page(['text/plain', 'application/octet-stream'][pick(2)], pick(3000), pick(2) === 0),
    () => page('application/octet-stream', size, pick(2) === 0),
    () => 'whole',
    () => 'gzip',
    () => ({ shiftRange: 1 + pick(100) }),
    () => ({ total: pick(size) }),
    () => ({ extra: 1 + pick(100_000) }),
    () => ({ flipByte: pick(size) }),
    () => ({ redirect: ['https://127.0.0.1:9/', '::', '/nowhere', 'file:///x'][pick(4)] }),
  ];
  return faults[pick(faults.length)]();
}

const seeds = Number(process.env.HEADLIGHT_TEST_SEEDS ?? 8);

it(`random faults and interruptions, ${seeds} seeds: complete and right, or incomplete and completed later`, async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const pick = random(seed);
    hub.reset(model());
    await rm(out, { recursive: true, force: true });
    const lies = (fault: Fault) =>
      typeof fault === 'object' && ('flipByte' in fault || ('page' in fault && fault.page.length === size));
    for (let attempt = 0; ; attempt++) {
      expect(attempt, `seed ${seed}`).toBeLessThan(40);
      const faults = Array.from({ length: attempt < 12 ? pick(4) : 0 }, () => randomFault(pick));
      hub.faults = { [weights]: faults };
      hub.listFaults = pick(4) === 0 && attempt < 12 ? [{ status: 503 }, page('text/html')].slice(0, 1 + pick(2)) : [];
      hub.ignoreRange = pick(5) === 0;
      const isHonest = !faults.some(lies);
      const before = await rightBytes();
      const stop = new AbortController();
      // Node 20 now and then loses the end of an answer; what a person would end, this does after 3 s.
      const timer = setTimeout(() => stop.abort(new Error('interrupted')), pick(3) === 0 ? pick(60) : 3000);
      await run({}, stop.signal).catch(() => {});
      clearTimeout(timer);
      const after = await rightBytes();
      // Where only answers with right headers and wrong bytes came, nobody can know; else what was right stays.
      if (isHonest) expect(after, `seed ${seed}: ${JSON.stringify(faults)}`).toBeGreaterThanOrEqual(before);
      if (await check()) break;
    }
  }
}, 120_000);

describe('processes', () => {
  const repository = resolve('.');
  const started = new Set<ChildProcess>();
  afterEach(() => {
    for (const child of started) child.kill('SIGKILL');
  });
  /** @returns how it ended: exit code and what it said. */
  function headlight(
    onStart: (child: ChildProcess) => void = () => {},
  ): Promise<{ code: number | null; stderr: string }> {
    return new Promise((done) => {
      const child = spawn(
        process.execPath,
        [
          '--import',
          import.meta.resolve('tsx'),
          '-C',
          'headlight-source',
          join(repository, 'src/cli/main.ts'),
          'download',
          hub.repo,
          '--out',
          out,
        ],
        {
          cwd: folder,
          env: { ...process.env, HF_ENDPOINT: hub.endpoint, HF_TOKEN: '' },
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      );
      started.add(child);
      let stderr = '';
      child.stderr!.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      child.on('exit', (code) => {
        started.delete(child);
        done({ code, stderr });
      });
      onStart(child);
    });
  }

  const rounds = Number(process.env.HEADLIGHT_TEST_ROUNDS ?? 1);

  it(
    'two into one folder, one of them killed: the other goes on with what is there',
    async () => {
      for (let round = 0; round < rounds; round++) {
        hub.reset(model());
        await rm(out, { recursive: true, force: true });
        hub.faults = { [weights]: [{ stallAt: 50_000 + round }] };
        let killed: ChildProcess | undefined;
        const first = headlight((child) => {
          killed = child;
        });
        // Only then is it sure that the first has the lock, and the answer that stalls.
        await expect.poll(() => rightBytes(), { timeout: 20_000 }).toBe(50_000 + round);
        const second = headlight();
        setTimeout(() => killed!.kill('SIGKILL'), 2000);
        expect((await first).code).toBe(null);
        expect((await second).code).toBe(0);
        expect(await check()).toBe(true);
        expect(await readdir(out)).not.toContain('.headlight-download.lock');
      }
    },
    60_000 * rounds,
  );

  it('two at once both end well', async () => {
    const ends = await Promise.all([headlight(), headlight()]);
    expect(ends.map(({ code, stderr }) => [code, stderr.includes('Error')])).toEqual([
      [0, false],
      [0, false],
    ]);
    expect(await check()).toBe(true);
  }, 60_000);
});

describe('where models are', () => {
  const checkpoint = async (at: string) => {
    await mkdir(at, { recursive: true });
    for (const [name, { bytes }] of hub.files) await writeFile(join(at, name), bytes);
  };

  it('a download goes to the cache folder, and is found there from anywhere', async () => {
    const { results } = await run({ out: undefined });
    expect(results[0].folder).toBe(join(folder, 'home', 'models', 'someone', 'tiny'));
    expect((await openCheckpointFolder(hub.repo)).location).toBe(results[0].folder);
    await expect(openCheckpointFolder('no/such')).rejects.toThrow(
      /no such model in weights.no.such, .*home.models.no.such, .*hf.models--no--such.snapshots; .* headlight download no\/such/,
    );
  });

  it('what huggingface_hub has is used, if it is all there, and not fetched again', async () => {
    const snapshot = join(folder, 'hf', 'models--someone--tiny', 'snapshots', hub.commit);
    await checkpoint(snapshot);
    expect((await openCheckpointFolder(hub.repo)).location).toBe(snapshot);
    const { results } = await run({ out: undefined });
    expect(results[0].folder).toBe(snapshot);
    expect(hub.fetched).toEqual([]);
    await rm(join(snapshot, weights));
    await expect(openCheckpointFolder(hub.repo)).rejects.toThrow(/which lacks files/);
    expect((await run({ out: undefined })).results[0].folder).toContain('home');
    expect(await stat(join(folder, 'home', 'models', 'someone', 'tiny', weights)).then((s) => s.size)).toBe(size);
  });

  it('a file that cannot be placed is said in one line', async () => {
    await writeFile(join(folder, 'home'), 'x');
    await expect(run({ out: undefined })).rejects.toThrow(
      /home.models.someone.tiny: cannot be written: a part of its path is a file.*HEADLIGHT_HOME/,
    );
  });
});
