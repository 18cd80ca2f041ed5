// Checkpoints behind URLs, from servers as users meet them. In Node, whose fetch follows the same standard.
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import { loadCheckpoint } from '../../src/model/load-checkpoint.ts';
import { HttpFolder } from '../../src/platform/http-folder.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { type Asked, cut, plain, ranged, type ServedFolder, serveFolder, weightsHead } from '../served-folder.ts';

const gpu = useGpu();
let server: ServedFolder | undefined;
afterEach(() => {
  vi.restoreAllMocks();
  server?.close();
});

/** A folder behind a server, and what it was asked. */
async function served(path: string, answer: (asked: Asked) => void, stallSeconds?: number) {
  server = await serveFolder(path, answer);
  return { folder: new HttpFolder(new URL(server.url), { stallSeconds }), log: server.log };
}

const page = '<!doctype html>\n<html><body>The application</body></html>';
const tiny = 'weights/tiny-llava';

/** What tells loaded checkpoints apart: the content of every tensor and of every file that was read. */
async function loaded(folder: Parameters<typeof loadCheckpoint>[0]) {
  const { modelId, madeWith, destroy } = await loadCheckpoint(folder, { gpu: gpu() });
  destroy();
  return { modelId, madeWith };
}

describe('a checkpoint', () => {
  it('takes one request a file, and one for all weights of a file', async () => {
    const { folder, log } = await served(tiny, ranged);
    expect(await loaded(folder)).toEqual(await loaded(await openFolder(tiny)));
    expect(new Set(log).size).toBe(log.length);
    expect(log.length).toBeLessThanOrEqual(15);
    expect(log.filter((line) => line.includes('safetensors'))).toEqual(['GET model.safetensors']);
  });

  it('passes through one buffer, or through chunks where the browser cannot fill a buffer', async () => {
    const expected = await loaded(await openFolder(tiny));
    const { folder, log } = await served(tiny, ranged);
    const byob = vi.spyOn(ReadableStreamBYOBReader.prototype, 'read');
    expect(await loaded(folder)).toEqual(expected);
    expect(byob).toHaveBeenCalled();
    byob.mockClear();
    const { fetch } = globalThis;
    vi.spyOn(globalThis, 'fetch').mockImplementation(async (...given) => {
      const { body, status, headers } = await fetch(...given);
      return new Response(body?.pipeThrough(new TransformStream()), { status, headers }); // no stream of bytes
    });
    expect(await loaded(new HttpFolder(new URL(server!.url)))).toEqual(expected);
    expect(byob).not.toHaveBeenCalled();
    expect(log).toHaveLength(2 * new Set(log).size);
  });

  const sharded = fixturePath('checkpoints/llava-bf16');
  it.each<[string, string, (asked: Asked) => void]>([
    [
      'has no byte ranges and refuses HEAD',
      tiny,
      (asked) => (asked.method === 'GET' ? plain(asked) : asked.response.writeHead(405).end()),
    ],
    ['has no byte ranges, for several files of weights', sharded, plain],
    ['has byte ranges, for several files of weights', sharded, ranged],
    [
      'gives its page for what is not there',
      tiny,
      (asked) =>
        asked.file
          ? ranged(asked)
          : asked.response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page),
    ],
    [
      'says 403 for what is not there',
      sharded,
      (asked) => (asked.file ? ranged(asked) : asked.response.writeHead(403).end('<Error/>')),
    ],
    [
      'compresses what is text',
      sharded,
      (asked) => {
        const { name, file, response } = asked;
        if (!file || !name.endsWith('.json')) return ranged(asked);
        const packed = gzipSync(file);
        response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': packed.length }).end(packed);
      },
    ],
    [
      'breaks off every answer after 300 kB',
      tiny,
      (asked) => {
        const part = weightsHead(asked);
        if (part) cut(asked.response, part.file.subarray(part.first, part.first + 300_000));
      },
    ],
  ])('loads from a server that %s', async (_, path, answer) => {
    const { folder } = await served(path, answer);
    expect(await loaded(folder)).toEqual(await loaded(await openFolder(path)));
  });

  it.each<[string, (asked: Asked) => void, RegExp]>([
    [
      '500 for an optional file',
      (asked) => (asked.file ? ranged(asked) : asked.response.writeHead(500).end()),
      /\.json: the server answers 500; it is to give the file, or 404 where there is none$/,
    ],
    [
      '401',
      ({ response }) => response.writeHead(401).end(),
      /config\.json: the server answers 401; .* \(this page sends no name and no password\)$/,
    ],
    [
      'weights without a length',
      (asked) => {
        if (asked.name.endsWith('.safetensors')) asked.response.writeHead(200).end(asked.file);
        else ranged(asked);
      },
      /model\.safetensors: the server does not say how large it is; it is to send Content-Length/,
    ],
    [
      'weights that break off at the same byte',
      (asked) => {
        const part = weightsHead(asked);
        if (part && part.first < 200_000) cut(asked.response, part.file.subarray(part.first, 200_000));
        else if (part) asked.response.destroy();
      },
      /model\.safetensors: the (connection broke off at byte 200000 of \d+|request failed)/,
    ],
  ])('is refused in a line: %s', async (_, answer, message) => {
    const { folder } = await served(tiny, answer);
    await expect(loaded(folder)).rejects.toThrow(message);
  });

  it('that changes on the way is an error', async () => {
    let answers = 0;
    const { folder } = await served(tiny, (asked) => {
      const part = weightsHead(asked, { ETag: `"${answers++}"` });
      if (part) cut(asked.response, part.file.subarray(part.first, part.first + 300_000));
    });
    await expect(loaded(folder)).rejects.toThrow(/model\.safetensors: the file changed while it was read/);
  });

  it.each<[string, (asked: Asked) => void, RegExp]>([
    ['does not answer', () => {}, /config\.json: the request failed \(nothing came for 0\.2 s\)/],
    [
      'stops in the middle of settings',
      ({ response }) => response.writeHead(200, { 'Content-Length': 900 }).write('{ "a": '),
      /config\.json: the connection broke off \(nothing came for 0\.2 s\)/,
    ],
    [
      'stops in the middle of weights, and again when asked from there',
      (asked) => {
        const { name, file, range, response } = asked;
        if (!file || !name.endsWith('.safetensors')) plain(asked);
        else if (!range) response.writeHead(200, { 'Content-Length': file.length }).write(file.subarray(0, 300_000));
      },
      /model\.safetensors: the (request failed|connection broke off at byte 300000 of \d+) \(nothing came for 0\.2 s\)/,
    ],
  ])('is given up where a server %s', async (_, answer, message) => {
    const { folder } = await served(tiny, answer, 0.2);
    await expect(loaded(folder)).rejects.toThrow(message);
  });

  it('a signal ends the request that runs', async () => {
    const controller = new AbortController();
    let closed: Promise<void> | undefined;
    const { folder } = await served(tiny, (asked) => {
      const { name, file, response } = asked;
      if (!file || !name.endsWith('.safetensors')) return plain(asked);
      closed = new Promise((done) => response.on('close', done));
      response.writeHead(200, { 'Content-Length': file.length });
      response.write(file.subarray(0, 300_000), () => setTimeout(() => controller.abort(new Error('enough')), 20));
    });
    const load = loadCheckpoint(folder, { gpu: gpu(), signal: controller.signal });
    await expect(load).rejects.toThrow('enough');
    await closed;
  });
});

describe('a file', () => {
  it('gives any range, in any order, as the disk does', async () => {
    for (const answer of [plain, ranged]) {
      const { folder } = await served(tiny, answer);
      const local = await openFolder(tiny);
      const size = await local.size('model.safetensors');
      expect(await folder.size('model.safetensors')).toBe(size);
      const visit = folder.visit();
      for (const [start, end] of [
        [0, 8],
        [8, 5000],
        [4_000_000, 4_000_010],
        [100, 200],
        [4_000_005, 4_000_020],
        [4_000_020, 4_000_020],
        [size - 5, size],
        [0, 3],
      ])
        expect(await visit.read('model.safetensors', start, end)).toEqual(
          await local.read('model.safetensors', start, end),
        );
      const both = await Promise.all([
        visit.read('model.safetensors', 10, 3_000_000),
        visit.read('model.safetensors', 20, 30),
      ]);
      expect(both[1]).toEqual(both[0].slice(10, 20));
      await expect(visit.read('model.safetensors', 0, size + 1)).rejects.toThrow(
        `bytes 0 to ${size + 1} were asked for, the file has ${size}`,
      );
      await expect(visit.read('absent.safetensors', 0, 1)).rejects.toThrow('absent.safetensors: there is no such file');
      await expect(visit.read('../config.json')).rejects.toThrow('is not a file name inside');
      await visit.close();
      server!.close();
    }
  });
});
