// A choice is one entry of one table. Whatever the tables hold is in the help text, passes the command line and a classifier's
// file, computes something, and has its words in the report.
import { describe, expect, it } from 'vitest';
import { helpOf, keysOf } from '../../src/base/choices.ts';
import { renderReport } from '../../src/charts/report/report.ts';
import { summaryCells, summaryHeader } from '../../src/cli/experiments.ts';
import { SavClassifier } from '../../src/sav/classifier.ts';
import { encodeClassifier, parseClassifier } from '../../src/sav/classifier-file.ts';
import { comparisons } from '../../src/sav/comparisons.ts';
import { figures, runExperiment } from '../../src/sav/experiment.ts';
import { methods } from '../../src/sav/methods.ts';
import { metrics } from '../../src/sav/metrics.ts';
import { promptSetByName, promptSets } from '../../src/sav/prompt-sets.ts';
import { scorings } from '../../src/sav/scoring.ts';
import type { TaskResult } from '../../src/sav/task.ts';
import { voteRules } from '../../src/sav/votes.ts';
import { example, fitNow, synthetic } from '../sav/synthetic.ts';
import { headlight } from './headlight.ts';

const labels = ['a', 'b'];
/** Twenty heads, as many as the published method takes, and all of them know. */
const easy = {
  labels,
  nLayers: 4,
  nHeads: 5,
  signal: Object.fromEntries(Array.from({ length: 20 }, (_, h) => [h, 3])),
};
const train = synthetic({ ...easy, perLabel: 6 });
const test = synthetic({ ...easy, perLabel: 8, seed: 2 });
const rules = keysOf(scorings).flatMap((scoring) =>
  keysOf(voteRules).flatMap((vote) => keysOf(comparisons).map((compare) => ({ scoring, vote, compare }))),
);
const name = ({ scoring, vote, compare }: (typeof rules)[number]) => `${scoring}, ${vote}, ${compare}`;

/** Options whose choices are the keys of a table. */
const options: [command: string, flag: string, table: object][] = [
  ['fit', '--scoring', scorings],
  ['fit', '--vote', voteRules],
  ['fit', '--compare', comparisons],
  ['fit', '--prompt-set', promptSets],
  ['eval', '--prompt-set', promptSets],
  ['eval', '--metric', metrics],
  ['eval', '--method', methods],
];

describe('the command line', () => {
  it.each(options)('%s %s: help names every choice, and every choice is taken', async (command, flag, table) => {
    const help = (await headlight(command, '--help')).stdout.replace(/\s+/g, ' ');
    const [, own] = new RegExp(`${flag} <\\w+> (.*?)(?: --|$)`).exec(help)!;
    const data = command === 'fit' ? ['none.jsonl'] : ['--train', 'none.jsonl', '--test', 'none.jsonl'];
    for (const key of keysOf(table as Record<string, unknown>)) {
      expect(own.split(/[\s,()]+/), key).toContain(key);
      // What is wrong is the file that is not there (1), not the command line (2).
      expect((await headlight(command, ...data, flag, key)).code, key).toBe(1);
    }
    expect((await headlight(command, ...data, flag, 'no-such')).code).toBe(2);
  });

  it('help says of each rule what its entry says', async () => {
    const help = (await headlight('fit', '--help')).stdout.replace(/\s+/g, ' ');
    for (const table of [scorings, voteRules, comparisons]) expect(help).toContain(helpOf(table));
  });
});

describe('a classifier', () => {
  it.each(rules.map((rule) => [name(rule), rule] as const))('%s: votes, and its file gives it back', (_, rule) => {
    const { classifier } = fitNow(train.features, train.labels, { ...rule, k: 3 });
    const { examples, calibration, leaveOneOutAccuracy, ...sums } = classifier.data;
    // With its examples, and as older files hold it.
    for (const fitted of [classifier, new SavClassifier(sums)]) {
      const read = parseClassifier(encodeClassifier(fitted), 'c.safetensors');
      for (const [i, vectors] of test.features.vectors.entries()) {
        expect(read.classify(vectors).winner).toBe(test.labels[i]);
        expect(read.classify(vectors)).toEqual(fitted.classify(vectors));
      }
    }
  });

  it('every vote rule gives totals of its own, every comparison scores of its own', () => {
    const predictions = (rule: (typeof rules)[number]) => {
      const { classifier } = fitNow(train.features, train.labels, { ...rule, k: 3 });
      return test.features.vectors.map((vectors) => classifier.classify(vectors));
    };
    const base = { scoring: 'train', vote: 'majority', compare: 'cosine' } as const;
    const totals = keysOf(voteRules).map((vote) => predictions({ ...base, vote }).map((p) => p.totals));
    expect(new Set(totals.map((all) => JSON.stringify(all))).size).toBe(totals.length);
    const scores = keysOf(comparisons).map((compare) => predictions({ ...base, compare }).map((p) => p.heads));
    expect(new Set(scores.map((all) => JSON.stringify(all))).size).toBe(scores.length);
  });
});

describe('metrics', () => {
  it.each(keysOf(metrics))('%s: all right is 1, all wrong 0, with details', (key) => {
    for (const [isRight, accuracy] of [
      [true, 1],
      [false, 0],
    ] as const) {
      const measured = metrics[key].measure(new Array<boolean>(8).fill(isRight), undefined);
      expect(measured.accuracy).toBe(accuracy);
      expect(measured.details.length).toBeGreaterThan(0);
      for (const { share } of measured.details) for (const value of [share].flat()) expect(value).not.toBeNaN();
    }
  });
});

describe('prompt sets', () => {
  it.each(keysOf(promptSets))('%s: is found by its name', (key) => {
    expect(promptSetByName(key)).toBe(promptSets[key]);
    expect(promptSets[key].name).toBe(key);
    expect(keysOf(metrics)).toContain(promptSets[key].metric);
  });
});

/** What a task gives, all of whose baselines are measured. */
async function resultOf(rule: (typeof rules)[number]): Promise<TaskResult> {
  const rows = (side: typeof train) => side.labels.map((label, i) => example(`${i}`, {}, label));
  const experiment = await runExperiment(train, test, {
    ...rule,
    k: 3,
    zeroShotAnswers: test.labels,
    likeliestLabels: test.labels,
    randomDraws: 2,
  });
  return {
    task: { name: 'task', train: rows(train), test: rows(test) },
    experiment,
    trainFeatures: train.features,
    testFeatures: test.features,
    answers: test.labels,
    warnings: [],
  };
}

describe('methods of eval', () => {
  const task = resultOf({ scoring: 'leave-one-out', vote: 'soft', compare: 'cosine' });
  it.each(keysOf(methods))('%s: finds what is easy to find, by every metric', async (key) => {
    const result = await task;
    for (const metric of keysOf(metrics)) {
      const { accuracy, details } = await methods[key].judge(result, metric);
      expect(accuracy, metric).toBe(1);
      expect(details, metric).not.toBe('');
    }
  });
});

describe('the report and the summary', () => {
  it.each(rules.map((rule) => [name(rule), rule] as const))('%s: in words, with every figure', async (_, rule) => {
    const result = await resultOf(rule);
    const { experiment } = result;
    const page = await renderReport({ title: 'T', facts: [], tasks: [{ name: 'task', experiment, queries: [] }] });
    const said = `chosen ${scorings[rule.scoring].words}, compare ${comparisons[rule.compare].words}; ${voteRules[rule.vote].words}.`;
    expect(page).toContain(said);
    for (const { words } of Object.values(figures)) {
      expect(page).toContain(`<th>${words}</th>`);
      expect(page).toMatch(new RegExp(`</b>${words}[ <]`));
      expect(summaryHeader).toContain(words);
    }
    expect(summaryCells(result)).toHaveLength(summaryHeader.length);
  });
});
