// What confidence says of the tasks that come with tiny-llava: of right and wrong answers, and of queries that are far from
// every class. The table of docs/confidence.md. Some minutes on a software adapter; a model's vectors are made once.
// Run: npx tsx -C headlight-source bench/confidence/measure.ts [examples a label, 20]
import { openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { fitClassifier, type HeadFeatures, type Prediction, type SavClassifier } from 'headlight-vlm/sav';
import { type MeasuredTask, measuredTasks } from './far-queries.ts';

const gpu = await openGpu();
const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const rate = 0.05;
const perLabel = Number(process.argv[2] ?? 20);

const mean = (values: readonly number[]) =>
  values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
const confidences = (predictions: readonly Prediction[]) => predictions.map((p) => p.confidence!);
const ask = (classifier: SavClassifier, { vectors }: HeadFeatures) =>
  vectors.map((v) => classifier.classify(v, { refusal: { noneOfThese: rate } }));

/** The share of pairs in which the right answer has the higher confidence (area under the ROC curve). */
function separation(right: readonly number[], far: readonly number[]): number | undefined {
  return mean(right.flatMap((r) => far.map((f) => (r > f ? 1 : r === f ? 0.5 : 0))));
}

/** Expected calibration error, in ten bins of confidence. */
function calibrationError(confidence: readonly number[], right: readonly boolean[]): number {
  let error = 0;
  for (let bin = 0; bin < 10; bin++) {
    const inside = confidence.map((_, i) => i).filter((i) => Math.min(9, Math.floor(10 * confidence[i])) === bin);
    if (inside.length === 0) continue;
    const gap = mean(inside.map((i) => confidence[i] - Number(right[i])))!;
    error += (Math.abs(gap) * inside.length) / confidence.length;
  }
  return error;
}

/** The first `perLabel` examples of each label. */
function firstOf({ features, labels }: MeasuredTask['train']): MeasuredTask['train'] {
  const taken = new Map<string, number>();
  const chosen = labels.map((label) => {
    taken.set(label, (taken.get(label) ?? 0) + 1);
    return taken.get(label)! <= perLabel;
  });
  const only = <T>(values: readonly T[]) => values.filter((_, i) => chosen[i]);
  return {
    features: { ...features, vectors: only(features.vectors), contents: features.contents && only(features.contents) },
    labels: only(labels),
  };
}

/** Each class in turn is left out of the fit; its queries are what was never shown. */
async function neverShown({ train, test }: MeasuredTask): Promise<Prediction[]> {
  const labels = [...new Set(train.labels)];
  if (labels.length < 3) return [];
  const predictions: Prediction[] = [];
  for (const out of labels) {
    const kept = (_: unknown, i: number) => train.labels[i] !== out;
    const features = {
      ...train.features,
      vectors: train.features.vectors.filter(kept),
      contents: train.features.contents?.filter(kept),
    };
    const { classifier } = await fitClassifier(features, train.labels.filter(kept));
    const vectors = test.features.vectors.filter((_, i) => test.labels[i] === out);
    predictions.push(...ask(classifier, { ...test.features, vectors }));
  }
  return predictions;
}

const show = (share: number | undefined) => (share === undefined ? '–' : (100 * share).toFixed(1));
const header = [
  'task',
  'right',
  'wrong',
  'grey',
  'noise',
  'other tasks',
  'never shown',
  'AUROC grey',
  'AUROC noise',
  'AUROC other',
  'AUROC never shown',
  'calibration error',
  'false rejects',
  'rejects grey',
  'rejects noise',
  'rejects other',
  'rejects never shown',
];
console.log(`| ${header.join(' | ')} |\n|${header.map(() => '---').join('|')}|`);
const rows: (number | undefined)[][] = [];
for (const whole of await measuredTasks(model)) {
  const task = { ...whole, train: firstOf(whole.train) };
  const { classifier } = await fitClassifier(task.train.features, task.train.labels);
  const answers = ask(classifier, task.test.features);
  const isRight = answers.map(({ winner }, i) => winner === task.test.labels[i]);
  const right = confidences(answers.filter((_, i) => isRight[i]));
  const far = [
    ask(classifier, task.far.grey),
    ask(classifier, task.far.noise),
    ask(classifier, task.far['other tasks']),
    await neverShown(task),
  ];
  const rejected = (predictions: readonly Prediction[]) => mean(predictions.map(({ label }) => Number(label === null)));
  const row = [
    mean(right),
    mean(confidences(answers.filter((_, i) => !isRight[i]))),
    ...far.map((predictions) => mean(confidences(predictions))),
    ...far.map((predictions) => separation(right, confidences(predictions))),
    calibrationError(confidences(answers), isRight),
    rejected(answers),
    ...far.map(rejected),
  ];
  rows.push(row);
  console.log(`| ${[task.name, ...row.map(show)].join(' | ')} |`);
}
const means = rows[0].map((_, c) => mean(rows.map((row) => row[c]).filter((value) => value !== undefined)));
console.log(`| mean | ${means.map(show).join(' | ')} |`);
model.destroy();
gpu.dispose();
