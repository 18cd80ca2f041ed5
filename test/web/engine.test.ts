// What runs in the page, without a browser: a worker that never answers.
import { afterAll, expect, it, vi } from 'vitest';

vi.stubGlobal('document', { baseURI: 'http://page.test/' });
vi.stubGlobal(
  'Worker',
  class {
    addEventListener() {}
    postMessage() {}
    terminate() {}
  },
);
afterAll(() => vi.unstubAllGlobals());

it('Reopen ends what waits for the worker that is gone, and what it starts goes on', async () => {
  const { ask, job, problem, reopen, work } = await import('../../web/src/state/engine.ts');
  const waits = work('measuring', (context) => ask('kernelTable', undefined, context));
  const before = job.value;
  void reopen();
  expect(await waits).toBeUndefined();
  expect(job.value?.progress.phase).toBe('starting');
  expect(job.value).not.toBe(before);
  expect(problem.value).toBeUndefined();
});
