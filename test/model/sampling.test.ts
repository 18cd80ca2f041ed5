import { describe, expect, it } from 'vitest';
import { type SamplingOptions, withSampling } from '../../src/model/generation/generation-settings.ts';
import { Sampler } from '../../src/model/generation/sampling.ts';
import { warpers } from '../../src/model/generation/score-warpers.ts';

const logits = Float32Array.from([0.5, 0.3, 0.15, 0.05], Math.log);
const warped = (options: SamplingOptions) => {
  const scores = logits.slice();
  for (const [, warp] of warpers(withSampling({}, options))) warp(scores);
  return scores;
};
const draws = (options: SamplingOptions, count = 4000) => {
  const sampler = new Sampler();
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) counts[sampler.draw(warped(options))]++;
  return counts.map((c) => c / count);
};

describe('Sampler', () => {
  it('draws in proportion to the probabilities', () => {
    for (const [i, share] of draws({ temperature: 1 }).entries())
      expect(share).toBeCloseTo([0.5, 0.3, 0.15, 0.05][i], 1);
  });

  it('keeps the fewest likeliest tokens that reach topP', () => {
    expect(draws({ temperature: 1, topP: 0.7 }).slice(2)).toEqual([0, 0]);
    expect(draws({ temperature: 1, topP: 0.81 })[2]).toBeGreaterThan(0.1);
    expect(draws({ temperature: 1, topP: 1e-9 })).toEqual([1, 0, 0, 0]);
  });

  it('sharpens with a low temperature', () => {
    expect(draws({ temperature: 0.1 })[0]).toBeGreaterThan(0.98);
  });

  it('repeats itself for a seed, and differs between seeds', () => {
    const sequence = (seed: number) => {
      const sampler = new Sampler(seed);
      return Array.from({ length: 40 }, () => sampler.draw(warped({ temperature: 2 }))).join('');
    };
    expect(sequence(7)).toBe(sequence(7));
    expect(sequence(7)).not.toBe(sequence(8));
  });

  it('refuses settings that mean nothing', () => {
    expect(() => withSampling({}, { temperature: -1 })).toThrow(/temperature -1/);
    expect(() => withSampling({}, { temperature: 1, topP: 0 })).toThrow(/topP 0/);
    expect(() => withSampling({}, { temperature: 1, topP: 1.5 })).toThrow(/topP 1.5/);
    expect(() => withSampling({}, { temperature: 1, topK: 1.5 })).toThrow(/topK 1.5/);
    expect(() => withSampling({}, { topP: 0.5 })).toThrow(/this text is greedy: give a temperature/);
  });

  it('refuses to draw where nothing is possible', () => {
    const all = Float32Array.from([0, 1], () => Number.NEGATIVE_INFINITY);
    expect(() => new Sampler().draw(all)).toThrow(/is everything suppressed/);
  });
});
