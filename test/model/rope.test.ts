import { describe, expect, it } from 'vitest';
import { inverseFrequencies, ropeTable } from '../../src/model/layers/rope.ts';

describe('rotary embedding', () => {
  it('has frequencies theta^(-2i/d)', () => {
    const f = inverseFrequencies({ type: 'default', theta: 10000 }, 8);
    expect([...f]).toEqual([1, 0.1, 0.01, 0.001].map((x) => expect.closeTo(x, 7)));
  });

  it('divides them all with linear scaling', () => {
    const f = inverseFrequencies({ type: 'linear', theta: 10000, factor: 4 }, 8);
    expect(f[1]).toBeCloseTo(0.025, 8);
  });

  it('divides only the slow ones with llama3 scaling, with a ramp between', () => {
    const rope = {
      type: 'llama3',
      theta: 10000,
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositions: 256,
    } as const;
    const plain = inverseFrequencies({ type: 'default', theta: 10000 }, 16);
    const scaled = inverseFrequencies(rope, 16);
    expect(scaled[0]).toBe(plain[0]);
    expect(scaled[7]).toBeCloseTo(plain[7] / 8, 9);
    const ramp = [...scaled].findIndex((f, i) => f < plain[i] * 0.99 && f > (plain[i] / 8) * 1.01);
    expect(ramp).toBeGreaterThan(0);
  });

  it('tabulates cosines, then sines, a row per position', () => {
    const table = ropeTable(Float32Array.of(1, 0.1), [[0, 3]]);
    expect([...table.subarray(0, 4)]).toEqual([1, 1, 0, 0]);
    expect([...table.subarray(4)]).toEqual(
      [Math.cos(3), Math.cos(0.3), Math.sin(3), Math.sin(0.3)].map((x) => expect.closeTo(x, 6)),
    );
  });
});
