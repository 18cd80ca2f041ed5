import { describe, expect, it } from 'vitest';
import { readJsonFixture } from '../fixtures.ts';
import { type ScoreCase, scoresOf } from '../generation.ts';

const cases = readJsonFixture<ScoreCase[]>('generation/scores.json');

describe('scores after the processors of generation_config.json are transformers’', () => {
  const named = (name: string) => cases.filter(({ settings }) => name in settings);
  const names = [...new Set(cases.flatMap(({ settings }) => Object.keys(settings)))].sort();
  it.each(names)('%s, alone and with others', (name) => {
    expect(named(name).length).toBeGreaterThan(20);
    for (const { sum, cut, nan, ...rest } of named(name)) {
      const ours = scoresOf({ sum, cut, nan, ...rest });
      const what = JSON.stringify(rest.settings);
      expect([ours.cut, ours.nan], what).toEqual([cut, nan]);
      expect(Math.abs(ours.sum - sum) / Math.max(1, Math.abs(sum)), what).toBeLessThan(1e-4);
    }
  });
});
