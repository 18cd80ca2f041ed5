// A classifier keeps its training examples as its heads see them: [examples, heads, dHead], less than the sums of outer
// products of 128-dimensional heads. Centroids, covariances, weights and the calibration follow from them, and are
// computed anew when examples or classes come and go.
import { greatest } from '../base/extremes.ts';
import type { InPieces } from '../base/pieces.ts';
import { type Calibration, type DistanceModel, fitCalibration, fitDistances } from './calibration.ts';
import type { ClassIndex } from './class-index.ts';
import type { ClassifierData, KeptExamples } from './classifier-data.ts';
import { comparisons } from './comparisons.ts';
import type { HeadFeatures } from './features.ts';
import { gaussianLeaveOneOut, outerProducts } from './gaussian.ts';
import { type Groups, groupsFrom } from './groups.ts';
import { canLeaveOut, judgeWithout, looVotes } from './leave-one-out.ts';
import { classSums, gatherHead } from './scoring.ts';
import { reliabilities, voteRules } from './votes.ts';

/** What a classifier is before its examples. */
export type Settings = Omit<
  ClassifierData,
  'counts' | 'sums' | 'products' | 'said' | 'right' | 'calibration' | 'leaveOneOutAccuracy' | 'examples'
>;

/** What the fit's own leave-one-out says, in which heads were chosen without each example. */
export interface Judgement {
  readonly predicted: ArrayLike<number>;
  readonly lead: ArrayLike<number>;
  readonly allowed?: readonly (readonly number[] | undefined)[];
}

/**
 * A classifier's data from its examples; a head is a piece.
 * @param judgement of the fit; without it examples are left out with the heads that there are
 * @param calibrate false: neither confidence nor distances are measured
 */
export function* classifierOf(
  settings: Settings,
  examples: KeptExamples,
  { judgement, calibrate = true }: { judgement?: Judgement; calibrate?: boolean } = {},
): InPieces<ClassifierData> {
  const { heads, labels, dHead, compare, vote } = settings;
  const features: HeadFeatures = {
    modelId: settings.modelId,
    nLayers: 1,
    nHeads: heads.length,
    dHead,
    vectors: examples.vectors,
  };
  const counts = labels.map((_, c) => examples.classOf.reduce((count, own) => count + (own === c ? 1 : 0), 0));
  const classes: ClassIndex = { labels: [...labels], classOf: examples.classOf, counts };
  const groups = groupsFrom(examples.groups);
  const nClasses = labels.length;
  const sums = new Float64Array(heads.length * nClasses * dHead);
  const products = comparisons[compare].needsSpread ? new Float64Array(heads.length * dHead * dHead) : undefined;
  const said = voteRules[vote].isWeighted ? new Int32Array(heads.length * nClasses) : undefined;
  const right = said?.slice();
  for (let h = 0; h < heads.length; h++) {
    const x = gatherHead(examples.vectors, h, dHead);
    sums.set(classSums(x, classes, dHead), h * nClasses * dHead);
    products?.set(outerProducts(x, dHead), h * dHead * dHead);
    if (said) {
      const votes = looVotes(comparisons[compare].leaveOneOut(x, classes, groups, dHead), nClasses);
      const reliable = reliabilities(votes, classes.classOf, nClasses);
      said.set(reliable.said, h * nClasses);
      right!.set(reliable.right, h * nClasses);
    }
    yield { part: 'making the classifier', done: h + 1, total: heads.length };
  }
  const data = { ...settings, counts, sums, products, said, right, examples };
  return calibrate
    ? { ...data, ...(yield* calibrationOf(data, { features, classes, groups, judged: examples.judged }, judgement)) }
    : data;
}

interface Left {
  readonly features: HeadFeatures;
  readonly classes: ClassIndex;
  readonly groups: Groups;
  readonly judged: Int32Array;
}

/**
 * What leave-one-out says of the classifier: how right votes are by their lead, and how far examples lie. Nothing, where no
 * example can be left out.
 */
function* calibrationOf(
  { vote, compare, scoring, heads }: Settings,
  { features, classes, groups, judged }: Left,
  judgement: Judgement | undefined,
): InPieces<{ calibration?: Calibration; leaveOneOutAccuracy?: number }> {
  const canLeave = canLeaveOut(groups, classes);
  const { classOf, counts } = classes;
  const left = Array.from(classOf.keys()).filter((i) => canLeave[groups.of[i]]);
  if (left.length === 0) return {};
  const measurable = hasSpread(groups, counts, canLeave);
  if (comparisons[compare].needsSpread && !measurable) return {};
  const all = heads.map((_, h) => h);
  const options = { scoring, vote, compare, ks: [all.length], heads: all, groups, allowed: judgement?.allowed };
  const [own] = yield* judgeWithout(features, classes, options);
  const { predicted, lead } = judgement ?? own;
  const right = left.map((i) => predicted[i] === classOf[i] && (judgement !== undefined || judged[i] !== 0));
  const leads = left.map((i) => lead[i]);
  return {
    calibration: {
      ...fitCalibration(leads, right, counts.length),
      distance: measurable ? yield* distanceModel(features, classes, groups, left, own.predicted) : undefined,
    },
    leaveOneOutAccuracy: right.filter(Boolean).length / left.length,
  };
}

/** Whether every group leaves more examples than classes, so that a covariance can be measured without it. */
export function hasSpread(groups: Groups, counts: readonly number[], canLeave: readonly boolean[]): boolean {
  const largest = greatest(
    groups.members.filter((_, g) => canLeave[g]).map((members) => members.length),
    0,
  );
  return groups.of.length - counts.length - largest >= 1;
}

/** Distances of left-out examples from the class they are given: `meanDistance` as `classify` computes it for a query. */
function* distanceModel(
  { vectors, nHeads, dHead }: HeadFeatures,
  classes: ClassIndex,
  groups: Groups,
  left: readonly number[],
  predicted: Int32Array,
): InPieces<DistanceModel | undefined> {
  const nClasses = classes.labels.length;
  const totals = new Float64Array(vectors.length);
  for (let h = 0; h < nHeads; h++) {
    const x = gatherHead(vectors, h, dHead);
    const moments = { counts: classes.counts, sums: classSums(x, classes, dHead), products: outerProducts(x, dHead) };
    const { distances } = gaussianLeaveOneOut(x, classes.classOf, groups, moments, dHead);
    for (const i of left) totals[i] += distances[i * nClasses + predicted[i]] / (nHeads * dHead);
    yield { part: 'measuring distances', done: h + 1, total: nHeads };
  }
  return fitDistances(
    left.map((i) => totals[i]),
    new Set(left.map((i) => groups.of[i])).size,
  );
}
