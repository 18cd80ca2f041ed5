// The queue of kernels without a browser: what ends it, and what does not.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { BenchmarkResult } from '../../src/verify/benchmark.ts';
import { measure, measured, result } from '../../web/src/kernels/queue.ts';
import { ask } from '../../web/src/state/engine.ts';

let problem: string | undefined;
vi.mock('../../web/src/state/engine.ts', () => ({
  ask: vi.fn(),
  async work(_: string, run: (context: { signal: AbortSignal; onProgress: () => void }) => Promise<void>) {
    await run({ signal: new AbortController().signal, onProgress: () => {} }).catch(({ message }) => {
      problem = message;
    });
  },
}));

const timed = (sizes: string, description = 'A card', roofline = { gflops: 100, gbps: 10 }) => ({
  wrong: [],
  result: {
    ...{ adapter: { vendor: '', architecture: '', description, software: false }, rounds: 1, clock: 'wall', roofline },
    ...{ rows: [{ op: 'add', sizes }], leftOut: [], notForKernel: [] },
  } as unknown as BenchmarkResult,
});
const named = (name: string) => Object.assign(new Error(`${name} of the test`), { name });

describe('the queue', () => {
  beforeEach(() => {
    problem = undefined;
    vi.mocked(ask).mockReset();
  });

  it('goes on after what fails, and measures the roofline once', async () => {
    const other = { gflops: 1, gbps: 1 };
    vi.mocked(ask)
      .mockRejectedValueOnce(named('KernelError'))
      .mockResolvedValueOnce(timed('b'))
      .mockRejectedValueOnce(named('DeviceLostError'))
      .mockResolvedValueOnce(timed('d', 'A card', other));
    await measure(['a', 'b', 'c', 'd']);
    expect(problem).toBeUndefined();
    expect(measured.value!.outcomes.map(({ rows, failures }) => [rows.length, failures.length])).toEqual([
      [0, 1],
      [1, 0],
      [0, 1],
      [1, 0],
    ]);
    expect(measured.value!.outcomes[2].failures[0]).toMatch(/^the GPU was lost while this ran/);
    const asked = vi.mocked(ask).mock.calls.map(([, takes]) => (takes as { roofline?: object }).roofline);
    expect(asked).toEqual([undefined, undefined, { gflops: 100, gbps: 10 }, { gflops: 100, gbps: 10 }]);
    expect(result.value).toMatchObject({ roofline: { gflops: 100, gbps: 10 }, rows: [{ sizes: 'b' }, { sizes: 'd' }] });
  });

  it('ends where there is no adapter, or another one: one result is of one adapter', async () => {
    vi.mocked(ask).mockResolvedValueOnce(timed('a')).mockResolvedValueOnce(timed('b', 'Another card'));
    await measure(['a', 'b', 'c']);
    expect(problem).toContain('another adapter');
    expect(result.value!.rows).toHaveLength(1);
    vi.mocked(ask).mockRejectedValueOnce(named('NoAdapterError'));
    await measure(['a', 'b']);
    expect(problem).toBe('NoAdapterError of the test');
    expect(ask).toHaveBeenCalledTimes(3);
    expect(result.value).toBeUndefined();
  });
});
