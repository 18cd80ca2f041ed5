// Judging predictions. Results are plain objects that JSON can hold.
import { greatest } from '../base/extremes.ts';
import { InputError } from '../model/errors.ts';
import { DataError } from './errors.ts';

/** How well predictions agree with the truth. */
export interface Evaluation {
  /** Rows. */
  readonly n: number;
  /** Rows whose prediction is right. */
  readonly correct: number;
  /** correct / n, in [0, 1]. */
  readonly accuracy: number;
  /** 95 % Wilson score interval of the accuracy. */
  readonly interval: readonly [number, number];
  /** Accuracy of always giving the most frequent label of these rows. */
  readonly chance: number;
  /** The classes, in the order of `confusion` and `recall`. */
  readonly labels: readonly string[];
  /**
   * Rows: true label; columns: predicted label, and last, where there are any, answers that are no label at all
   * (a zero-shot model says what it likes).
   */
  readonly confusion: readonly (readonly number[])[];
  /** Share of each label's rows that are right; null for a label without rows. */
  readonly recall: readonly (number | null)[];
}

/**
 * Holds predictions against the truth.
 * @param actual true labels
 * @param predicted one per row; text that is no label counts as wrong
 * @param labels order of the classes; a true label that is missing here is added at the end
 */
export function evaluate(
  actual: readonly string[],
  predicted: readonly string[],
  labels: readonly string[],
): Evaluation {
  if (actual.length !== predicted.length || actual.length === 0) {
    throw new InputError(`expected a prediction for each row: ${actual.length} rows, ${predicted.length} predictions`);
  }
  const names = [...new Set([...labels, ...actual])];
  const indexOf = new Map(names.map((label, i) => [label, i]));
  const confusion = names.map(() => new Array<number>(names.length + 1).fill(0));
  for (let i = 0; i < actual.length; i++) {
    confusion[indexOf.get(actual[i])!][indexOf.get(predicted[i]) ?? names.length]++;
  }
  const noLabel = confusion.some((row) => row[names.length] > 0);
  const totals = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  const correct = confusion.reduce((sum, row, i) => sum + row[i], 0);
  return {
    n: actual.length,
    correct,
    accuracy: correct / actual.length,
    interval: wilsonInterval(correct, actual.length),
    chance: greatest(totals) / actual.length,
    labels: names,
    confusion: noLabel ? confusion : confusion.map((row) => row.slice(0, names.length)),
    recall: totals.map((total, i) => (total === 0 ? null : confusion[i][i] / total)),
  };
}

/** How labels and refusals fit the truth, where queries may get no label. */
export interface Selection {
  /** Rows whose label is one of the classifier's, how many of them got a label, and how many of those the right one. */
  readonly known: number;
  readonly answered: number;
  readonly right: number;
  /** answered / known. */
  readonly coverage: number | null;
  /** right / answered. */
  readonly accuracy: number | null;
  /** Share of known rows that were called 'none of these'. */
  readonly falseReject: number | null;
  /** Rows of labels that the classifier does not know, and the share of them that got a label all the same. */
  readonly outsiders: number;
  readonly falseAccept: number | null;
}

/**
 * Holds labels and refusals against the truth.
 * @param actual true labels; those that are not among `labels` are of outsiders
 * @param answers what each row got
 */
export function selection(
  actual: readonly string[],
  answers: readonly { label: string | null; refused?: string }[],
  labels: readonly string[],
): Selection {
  const rows = actual.map((truth, i) => ({ truth, ...answers[i] }));
  const known = rows.filter(({ truth }) => labels.includes(truth));
  const outside = rows.filter(({ truth }) => !labels.includes(truth));
  const answered = known.filter(({ label }) => label !== null);
  const right = answered.filter(({ label, truth }) => label === truth);
  const share = (part: readonly unknown[], whole: readonly unknown[]) =>
    whole.length === 0 ? null : part.length / whole.length;
  return {
    known: known.length,
    answered: answered.length,
    right: right.length,
    coverage: share(answered, known),
    accuracy: share(right, answered),
    falseReject: share(
      known.filter(({ refused }) => refused === 'none of these'),
      known,
    ),
    outsiders: outside.length,
    falseAccept: share(
      outside.filter(({ label }) => label !== null),
      outside,
    ),
  };
}

/** Wilson score interval for `correct` of `n` (z = 1.96: 95 %). */
export function wilsonInterval(correct: number, n: number, z = 1.959964): [number, number] {
  const p = correct / n;
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/**
 * NaturalBench: rows come in fours, two questions x two images, in the order (q1,i1) (q1,i2) (q2,i1) (q2,i2).
 * Question accuracy asks for both rows of (0,1), (2,3); image accuracy of (0,2), (1,3); group accuracy for all four.
 * @param groups each row's question_id, where known: a group whose rows disagree is an error
 */
export function naturalBench(
  right: readonly boolean[],
  groups?: readonly (string | undefined)[],
): { question: number; image: number; group: number } {
  checkGroups(right, 4, groups);
  let [question, image, group] = [0, 0, 0];
  for (let i = 0; i < right.length; i += 4) {
    const [a, b, c, d] = right.slice(i, i + 4);
    question += Number(a && b) + Number(c && d);
    image += Number(a && c) + Number(b && d);
    group += Number(a && b && c && d);
  }
  const n = right.length / 4;
  return { question: question / (2 * n), image: image / (2 * n), group: group / n };
}

/** SugarCrepe: rows come in pairs; a pair counts where both are right. */
export function sugarCrepe(right: readonly boolean[]): { pair: number } {
  checkGroups(right, 2);
  let pairs = 0;
  for (let i = 0; i < right.length; i += 2) if (right[i] && right[i + 1]) pairs++;
  return { pair: pairs / (right.length / 2) };
}

interface Metric {
  /**
   * @param right whether each row is right
   * @param groups each row's group, where known
   * @throws DataError for rows that do not come in the groups that are judged together.
   */
  readonly measure: (right: readonly boolean[], groups?: readonly (string | undefined)[]) => Measured;
}

/** What a metric says of a task's rows. */
export interface Measured {
  readonly accuracy: number;
  /** Shares, or intervals of shares, that stand beside it. */
  readonly details: readonly { readonly name: string; readonly share: number | readonly [low: number, high: number] }[];
}

/** The choices of `eval --metric`, and of prompt sets. */
export const metrics = {
  /** The share of rows that are right. */
  accuracy: {
    measure: (right) => ({
      accuracy: shareOf(right),
      details: [{ name: '95 % interval', share: wilsonInterval(right.filter(Boolean).length, right.length) }],
    }),
  },
  naturalbench: {
    measure: (right, groups) => {
      const { question, image, group } = naturalBench(right, groups);
      const details = [
        { name: 'question', share: question },
        { name: 'image', share: image },
        { name: 'rows', share: shareOf(right) },
      ];
      return { accuracy: group, details };
    },
  },
  sugarcrepe: {
    measure: (right) => ({ accuracy: sugarCrepe(right).pair, details: [{ name: 'rows', share: shareOf(right) }] }),
  },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof metrics;

const shareOf = (right: readonly boolean[]) => right.filter(Boolean).length / right.length;

function checkGroups(right: readonly boolean[], size: number, groups?: readonly (string | undefined)[]): void {
  if (right.length === 0 || right.length % size !== 0) {
    throw new DataError(`expected rows in groups of ${size}, got ${right.length} rows`);
  }
  const stray = groups?.findIndex((group, i) => group !== groups[i - (i % size)]) ?? -1;
  if (stray >= 0) {
    throw new DataError(
      `rows come in groups of ${size}, but row ${stray + 1} belongs to '${groups![stray]}' and not to '${groups![stray - (stray % size)]}'`,
    );
  }
}

/**
 * A free-text answer and a label are the same after this: Unicode NFKC, lower case, surrounding white space, quotes,
 * brackets and end punctuation gone, inner white space single, and no leading article (a, an, the). So "The Red."
 * equals "red" and "(A)" equals "A"; "red car" does not equal "red".
 */
export function normaliseAnswer(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\s+/gu, ' ')
    .replace(/^[\s"'“”‘’`([{<]+|[\s"'“”‘’`)\]}>.,:;!?]+$/gu, '')
    .replace(/^(?:a|an|the) (?=.)/u, '');
}

/** The label that a free-text answer names, or undefined. Labels that normalise to the same text are an error. */
export function matchLabel(answer: string, labels: readonly string[]): string | undefined {
  const byText = new Map<string, string>();
  for (const label of labels) {
    const twin = byText.get(normaliseAnswer(label));
    if (twin !== undefined && twin !== label)
      throw new DataError(`labels '${twin}' and '${label}' cannot be told apart in an answer`);
    byText.set(normaliseAnswer(label), label);
  }
  return byText.get(normaliseAnswer(answer));
}

/** One mistake, made `count` times. */
export interface Confusion {
  readonly truth: string;
  /** Undefined where the answer was none of the labels. */
  readonly answer: string | undefined;
  readonly count: number;
  /** Queries of the true label. */
  readonly of: number;
}

/** Every pair of labels that were confused, the most often first; in the order of the labels where equally often. */
export function confusions({ labels, confusion }: Evaluation): Confusion[] {
  const mistakes: Confusion[] = [];
  for (const [r, row] of confusion.entries())
    for (const [c, count] of row.entries())
      if (r !== c && count > 0) mistakes.push({ truth: labels[r], answer: labels[c], count, of: total(row) });
  return mistakes.sort((a, b) => b.count - a.count);
}

/** Each label that has queries, and how many of them were right; the smallest share first, then the most queries. */
export function recalls({ labels, confusion }: Evaluation): { label: string; right: number; of: number }[] {
  return labels
    .map((label, c) => ({ label, right: confusion[c][c], of: total(confusion[c]) }))
    .filter(({ of }) => of > 0)
    .sort((a, b) => a.right / a.of - b.right / b.of || b.of - a.of);
}

const total = (row: readonly number[]) => row.reduce((sum, n) => sum + n, 0);
