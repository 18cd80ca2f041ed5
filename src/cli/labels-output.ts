// How classify prints a query's label: for people, for pipes, as CSV and as JSON.

import { percent } from '../base/format.ts';
import { printableLine } from '../base/printable.ts';
import type { Prediction, SavClassifier } from '../sav/classifier.ts';
import { type Example, exampleName } from '../sav/features.ts';
import { type CsvRow, toCsv } from './csv.ts';
import { answerOf } from './open-set.ts';

export interface Labelled {
  readonly example: Example;
  readonly prediction: Prediction;
}

/** On a terminal, columns; in a pipe, path, label and confidence between tabs. */
export function labelLine({ example, prediction }: Labelled, columns: readonly number[] | undefined): string {
  const { confidence } = prediction;
  const [path, name] = [printableLine(exampleName(example)), printableLine(answerOf(prediction))];
  if (!columns) return [path, name, confidence === undefined ? '' : confidence.toFixed(4)].join('\t');
  return [path.padEnd(columns[0]), name.padEnd(columns[1]), confidence === undefined ? '' : percent(confidence)]
    .join('  ')
    .trimEnd();
}

/** Widths of the columns of paths and labels; names that are much longer than others stick out. */
export const columnsOf = (examples: readonly Example[], labels: readonly string[]): number[] =>
  [examples.map(exampleName), labels].map((texts) =>
    Math.min(
      60,
      texts.reduce((most, text) => Math.max(most, printableLine(text).length), 0),
    ),
  );

/** The labels that got votes, most first. */
export function voteLines({ labels }: SavClassifier['data'], { votes, heads }: Prediction): string[] {
  return votes
    .map((count, c) => ({ count, label: labels[c] }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count)
    .map(({ count, label }) => `  ${String(count).padStart(3)} of ${heads.length} heads  ${printableLine(label)}`);
}

/** A result for machines. @param votes also each label's votes and each head's scores */
export function labelJson({ labels }: SavClassifier['data'], { example, prediction }: Labelled, votes: boolean) {
  const { label, refused, winner, confidence, typicality, heads } = prediction;
  return {
    path: exampleName(example),
    source: example.source,
    label,
    ...(refused && { refused, winner }),
    confidence,
    typicality,
    truth: example.label,
    ...(votes && {
      votes: Object.fromEntries(labels.map((name, c) => [name, prediction.votes[c]])),
      heads: heads.map((h) => ({ layer: h.layer, head: h.head, vote: h.label, scores: h.scores })),
    }),
  };
}

/** Rows of CSV, under a line of their columns' names or without it. */
export function labelsCsv(all: readonly Labelled[], { header, truth }: { header: boolean; truth: boolean }): string {
  const rows = all.map(
    ({ example, prediction: { label, confidence } }): CsvRow => ({
      path: exampleName(example),
      label: label ?? '',
      confidence: confidence ?? '',
      ...(truth && { truth: example.label ?? '' }),
    }),
  );
  const csv = toCsv(rows);
  return header ? csv : csv.slice(csv.indexOf('\n') + 1);
}
