// A task in a report. Of some queries it shows the pictures, where the voting heads looked, and the nearest training example.
import { type AttentionMap, attentionMaps } from '../analysis/attention-map.ts';
import type { PlacedGrid } from '../analysis/positions.ts';
import { attentionPicture } from '../charts/attention-picture.ts';
import type { ReportAttention, ReportNeighbour, ReportQuery } from '../charts/report/query-card.ts';
import { pickQueries, type ReportTask } from '../charts/report/report.ts';
import type { ModelInput } from '../model/input.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import type { Prediction } from '../sav/classifier.ts';
import { labelsOf } from '../sav/data.ts';
import { nearestTrainingExample } from '../sav/explain.ts';
import { type Example, show } from '../sav/features.ts';
import type { TaskResult } from '../sav/task.ts';
import type { Context } from './context.ts';
import { thumbnail } from './thumbnail.ts';

/** Heads that are shown alone. */
const headsShown = 4;
const side = { mean: 240, each: 96 };

/** A task's section of the report, with some of its queries. */
export async function reportTask(
  context: Context,
  model: VisionLanguageModel,
  result: TaskResult,
  queries: number,
): Promise<ReportTask> {
  const { task, experiment, warnings } = result;
  const right = experiment.predictions.map(({ winner }, i) => winner === task.test[i].label);
  const shown = await reportQueries(context, model, result, pickQueries(right, queries));
  return { name: task.name, description: task.description, experiment, queries: shown, warnings };
}

/** @param indices of the test rows to show. Each costs one more run of the model. */
async function reportQueries(
  context: Context,
  model: VisionLanguageModel,
  { task, experiment, trainFeatures, testFeatures, answers }: TaskResult,
  indices: readonly number[],
): Promise<ReportQuery[]> {
  const training = { features: trainFeatures, labels: labelsOf(task.train) };
  const { classifier } = experiment.fit;
  const queries: ReportQuery[] = [];
  for (const i of indices) {
    context.signal.throwIfAborted();
    const prediction = experiment.predictions[i];
    const shown = await show(task.test[i]);
    const { index, label, similarity } = nearestTrainingExample(classifier, testFeatures.vectors[i], training);
    queries.push({
      ...(await thumbnails(task.test[i])),
      question: task.test[i].prompt,
      truth: task.test[i].label,
      prediction,
      zeroShotAnswer: answers?.[i],
      attention: await whereTheyLooked(model, await model.input(shown), prediction),
      nearest: await neighbour(task.train[index], label, similarity),
    });
  }
  return queries;
}

async function thumbnails(example: Example) {
  const files = await example.loadImages();
  const images = await Promise.all(files.map((file, n) => thumbnail(file, example.images[n])));
  return { images, imageNames: example.images };
}

async function neighbour(example: Example, label: string, similarity: number): Promise<ReportNeighbour> {
  const { images, imageNames } = await thumbnails(example);
  return { images, name: imageNames.join(', ') || example.source, label, similarity };
}

/** Attention of the heads that voted for the answer; undefined for a query without pictures. */
async function whereTheyLooked(
  model: VisionLanguageModel,
  input: ModelInput,
  { winner, heads }: Prediction,
): Promise<ReportAttention | undefined> {
  const voters = heads.filter((head) => head.label === winner);
  if (!input.visuals.length || !voters.length) return undefined;
  const { grids, maps } = await attentionMaps(model, input, { heads: voters });
  const range = model.processor.blackAndWhite;
  const pictures = finestGrids(grids);
  const mean = await Promise.all(
    pictures.map(async (g) => {
      const values = meanOf(maps, g);
      return { picture: await attentionPicture(grids[g], values, range, side.mean), share: sum(values) };
    }),
  );
  const each = await Promise.all(
    maps.slice(0, headsShown).map(async ({ layer, head, grids: values }) => {
      const g = pictures.reduce((best, other) => (sum(values[other]) > sum(values[best]) ? other : best));
      const picture = await attentionPicture(grids[g], values[g], range, side.each);
      return { layer, head, picture, share: sum(values[g]) };
    }),
  );
  return { mean, heads: voters.length, each };
}

/** Of each picture the grid that shows it in most detail (of a picture in tiles, the tiles; of a video, its first frame). */
function finestGrids(grids: readonly PlacedGrid[]): number[] {
  const finest = new Map<number, number>();
  for (const [g, { visual, rows, columns }] of grids.entries()) {
    const best = finest.get(visual);
    if (best === undefined || rows * columns > grids[best].rows * grids[best].columns) finest.set(visual, g);
  }
  return [...finest.values()];
}

const meanOf = (maps: readonly AttentionMap[], g: number): Float32Array =>
  maps[0].grids[g].map((_, i) => maps.reduce((total, { grids }) => total + grids[g][i], 0) / maps.length);

const sum = (values: Float32Array) => values.reduce((total, x) => total + x, 0);
