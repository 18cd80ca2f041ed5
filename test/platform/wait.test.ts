import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { waitForGpu } from '#platform';

/** Turns of the event loop while something polls, as Dawn does, for so many milliseconds. */
async function turnsWhile(milliseconds: number, wait: (done: Promise<unknown>) => Promise<unknown>): Promise<number> {
  let turns = 0;
  let polling = true;
  const poll = () => {
    turns++;
    if (polling) setImmediate(poll);
  };
  setImmediate(poll);
  await wait(sleep(milliseconds));
  polling = false;
  return turns;
}

it('gives what was waited for, or its error', async () => {
  expect(await waitForGpu(Promise.resolve(3))).toBe(3);
  await expect(waitForGpu(Promise.reject(new Error('lost')))).rejects.toThrow('lost');
});

it('the event loop does not spin while something is awaited, also by several at once, and again afterwards', async () => {
  const busy = await turnsWhile(200, (done) => done);
  for (const wait of [waitForGpu, (done: Promise<unknown>) => Promise.all([waitForGpu(done), waitForGpu(done)])]) {
    const resting = await turnsWhile(200, wait);
    expect(resting).toBeLessThan(busy / 5);
  }
  expect(await turnsWhile(200, (done) => done)).toBeGreaterThan(busy / 5);
});

it('the first millisecond of each wait has no nap', async () => {
  const start = performance.now();
  let waits = 0;
  for (; performance.now() - start < 100; waits++)
    await waitForGpu(new Promise((done) => setImmediate(() => setImmediate(done))));
  expect(waits).toBeGreaterThan(100);
});
