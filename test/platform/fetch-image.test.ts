// A picture from a server that does not do its part: it is given up, or the user gives it up.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeImage, FileError, imageSize } from '#platform';
import { fetchImage } from '../../src/platform/fetch-image.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.closeAllConnections();
});

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  server.unref();
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.png`;
}

/** What servers do who hold a client for ever. */
const stalls: Record<string, RequestListener> = {
  'nothing at all': () => {},
  'half of what it says, with a length': (_, response) => {
    response.writeHead(200, { 'Content-Length': 2000 });
    response.write(Buffer.alloc(1000));
  },
  'half of it, without a length': (_, response) => {
    response.writeHead(200);
    response.write(Buffer.alloc(1000));
  },
};

describe.each(Object.entries(stalls))('a server that sends %s', (_, answer) => {
  it('is given up, with what came', async () => {
    const url = await serve(answer);
    const error = await fetchImage(url, 'a.png', { stallSeconds: 0.2 }).catch((e) => e);
    expect(error).toBeInstanceOf(FileError);
    expect(error.message).toMatch(/^a\.png: .* \((nothing|only 1000 bytes) came for 0\.2 s\)$/);
  });

  it('ends with the signal, in either way to read it', async () => {
    for (const read of [decodeImage, imageSize]) {
      const interrupted = new AbortController();
      const url = await serve((request, response) => {
        answer(request, response);
        setTimeout(() => interrupted.abort(new Error('interrupted')), 50);
      });
      await expect(read(url, 'a.png', { signal: interrupted.signal })).rejects.toThrow(/^interrupted$/);
    }
  });
});

it('a server that sends a byte now and then is given up', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(timer));
  });
  const found = fetchImage(url, 'a.png', { stallSeconds: 0.4 });
  await expect(found).rejects.toThrow(/^a\.png: the connection broke off \(only \d+ bytes came for 0\.4 s\)$/);
});

it('a server that is slow, and keeps the rate, is waited for', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200);
    let sent = 0;
    const timer = setInterval(() => {
      if (++sent > 20) response.end();
      else response.write(Buffer.alloc(1000, sent));
    }, 20);
    response.on('close', () => clearInterval(timer));
  });
  expect(await fetchImage(url, 'a.png', { stallSeconds: 0.2, minRate: 10 })).toHaveLength(20_000);
});

it('nothing is asked of a server once the signal is aborted', async () => {
  let asked = 0;
  const url = await serve(() => asked++);
  await expect(decodeImage(url, 'a.png', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
  expect(asked).toBe(0);
});

it('the answer’s end closes the connection, and no timer is left', async () => {
  let closed = () => {};
  const isClosed = new Promise<void>((done) => {
    closed = done;
  });
  const url = await serve((request, response) => {
    request.socket.on('close', closed);
    response.writeHead(200);
    response.write(Buffer.alloc(1000));
  });
  await fetchImage(url, 'a.png', { stallSeconds: 0.1 }).catch(() => {});
  await isClosed;
});
