// The portable classifier file: safetensors, so that Python opens it too. Head vectors are stored as they are kept: a
// classifier that was saved and loaded gives the same answers to the last bit, and examples can still come and go.
//
//   vectors   F32 [examples, heads, dHead]  the training examples as the classifier's heads see them
//   examples  I32 [examples, 3]             class, group (rows that show the same), right when left out (1, 0, or -1: not judged)
//   __metadata__  format, version, and the rest of ClassifierData as JSON under `classifier`
//
// Version 1 held sums in place of examples, and is still read. A classifier that came from such a file is written so:
//
//   sums      F64 [heads, classes, dHead]   class sums of the heads' vectors; centroid = sum / count
//   products  F64 [heads, dHead, dHead]     sums of outer products, to compare by Gaussian only
//   said, right  I32 [heads, classes]       leave-one-out votes and how many were right, for weighted votes only

import { keysOf } from '../base/choices.ts';
import { atOnce } from '../base/pieces.ts';
import { quote } from '../base/quote.ts';
import * as s from '../base/schema.ts';
import { changedFiles } from '../checkpoint/made-with.ts';
import { type StoredTensor, tensorOf } from '../checkpoint/safetensors-writer.ts';
import { SavClassifier } from './classifier.ts';
import type { ClassifierData, KeptExamples } from './classifier-data.ts';
import { comparisons } from './comparisons.ts';
import { ClassifierError } from './errors.ts';
import type { HeadVectorSource } from './features.ts';
import { classifierOf } from './kept-examples.ts';
import { scorings } from './scoring.ts';
import {
  checkTensors,
  copyOf,
  type FileKind,
  modelEntries,
  openSettingsFile,
  refusalSchema,
  type SettingsFile,
  writeSettingsFile,
} from './settings-file.ts';
import { voteRules } from './votes.ts';

const count = s.int(0);
const share = s.number(0, 1);
const label = s.string(1, 10_000);

const settingsSchema = s.strictObject({
  ...modelEntries,
  promptSet: s.string(0, 1000),
  prompt: s.optional(s.string(0, 1_000_000)),
  images: s.optional(count),
  scoring: s.oneOf(keysOf(scorings)),
  vote: s.oneOf(keysOf(voteRules)),
  compare: s.oneOf(keysOf(comparisons)),
  heads: s.list(s.strictObject({ layer: count, head: count, correct: count, margin: s.number() }), 1),
  nExamples: count,
  changes: count,
  labels: s.list(label, 2),
  counts: s.array(s.int(1)),
  calibration: s.optional(
    s.strictObject({
      slope: s.number(0),
      intercept: s.number(),
      ceiling: s.optional(share),
      distance: s.optional(s.strictObject({ mean: s.number(), deviation: s.positive(), examples: s.int(2) })),
    }),
  ),
  leaveOneOutAccuracy: s.optional(share),
  refusal: s.optional(refusalSchema),
});

type FileSettings = s.InferOutput<typeof settingsSchema>;
type OpenFile = SettingsFile<FileSettings>;

/** Settings that are each of their kind, held against each other. */
function disagreements({ heads, labels, counts, nLayers, nHeads, nExamples }: FileSettings): s.Problem[] {
  const problems: s.Problem[] = [];
  const problem = (name: string, message: string) => problems.push({ path: [name], message });
  if (new Set(labels).size !== labels.length) problem('labels', 'a label occurs twice');
  if (counts.length !== labels.length) problem('counts', `${counts.length} counts for ${labels.length} labels`);
  if (new Set(heads.map(({ layer, head }) => `${layer}.${head}`)).size !== heads.length) {
    problem('heads', 'a head occurs twice');
  }
  for (const { layer, head, correct } of heads) {
    if (layer >= nLayers || head >= nHeads)
      problem('heads', `no head ${layer}.${head} in ${nLayers} layers of ${nHeads}`);
    if (correct > nExamples) problem('heads', `head ${layer}.${head} has ${correct} of ${nExamples} examples right`);
  }
  return problems;
}

const kind: FileKind<typeof settingsSchema> = {
  format: 'headlight-sav-classifier',
  versions: ['1', '2'],
  key: 'classifier',
  what: "a classifier made by 'fit'",
  schema: settingsSchema,
  disagreements,
};

/** The classifier as the bytes of a safetensors file. The same classifier gives the same bytes. */
export function encodeClassifier({ data }: SavClassifier): Uint8Array<ArrayBuffer> {
  const { sums, products, said, right, examples, ...settings } = data;
  const [nHeads, nClasses] = [data.heads.length, data.labels.length];
  const tensors: StoredTensor[] = [];
  if (examples) {
    const n = examples.vectors.length;
    const vectors = new Float32Array(n * nHeads * data.dHead);
    for (const [i, values] of examples.vectors.entries()) vectors.set(values, i * nHeads * data.dHead);
    const facts = Int32Array.from({ length: n * 3 }, (_, at) => {
      const { classOf, groups, judged } = examples;
      return [classOf, groups, judged][at % 3][Math.floor(at / 3)];
    });
    tensors.push(tensorOf('vectors', [n, nHeads, data.dHead], vectors), tensorOf('examples', [n, 3], facts));
  } else {
    tensors.push(tensorOf('sums', [nHeads, nClasses, data.dHead], sums));
    if (products) tensors.push(tensorOf('products', [nHeads, data.dHead, data.dHead], products));
    if (said) tensors.push(tensorOf('said', [nHeads, nClasses], said));
    if (right) tensors.push(tensorOf('right', [nHeads, nClasses], right));
  }
  return writeSettingsFile(
    kind,
    settings,
    tensors,
    (problem) => new ClassifierError(`the classifier cannot be written: ${problem}`),
  );
}

/**
 * A classifier from the bytes of its file, which are checked before they are believed.
 * @param name the file's name, for messages
 * @param model the model that is to make the query's head vectors
 * @throws ClassifierError naming the file and the problem; naming both models where the classifier was fitted on another, and the
 *   processor's files that say something else since.
 */
export function decodeClassifier(bytes: Uint8Array, name: string, model: ModelOfHeads): SavClassifier {
  const classifier = parseClassifier(bytes, name);
  checkModel(classifier, name, model);
  return classifier;
}

type ModelOfHeads = Pick<HeadVectorSource, 'modelId' | 'madeWith' | 'nLayers' | 'nHeads' | 'dHead'>;

/** The half of `decodeClassifier` that needs no model: what is wrong with a file can be said before one is loaded, … */
export function parseClassifier(bytes: Uint8Array, name: string): SavClassifier {
  const fail = (problem: string) => new ClassifierError(`${name}: ${problem}; fit the classifier again`);
  const file = openSettingsFile(kind, bytes, name, fail);
  const { header, settings } = file;
  const hasExamples = header.tensors.has('vectors');
  checkTensors(
    file,
    new Set(hasExamples ? ['vectors', 'examples'] : sumTensors(settings)),
    'no classifier of its kind',
  );
  const data = hasExamples ? fromExamples(file) : fromSums(file);
  try {
    return new SavClassifier(data);
  } catch (error) {
    throw fail((error as Error).message);
  }
}

const sumTensors = ({ compare, vote }: FileSettings): string[] => [
  'sums',
  ...(comparisons[compare].needsSpread ? ['products'] : []),
  ...(voteRules[vote].isWeighted ? ['said', 'right'] : []),
];

function fromExamples(file: OpenFile) {
  const { counts, calibration, leaveOneOutAccuracy, ...settings } = file.settings;
  const n = counts.reduce((a, b) => a + b, 0);
  const size = settings.heads.length * settings.dHead;
  const vectors = new Float32Array(copyOf(file, 'vectors', 'F32', [n, settings.heads.length, settings.dHead]));
  if (!vectors.every(Number.isFinite)) throw file.fail('vectors holds a value that is not finite');
  const facts = new Int32Array(copyOf(file, 'examples', 'I32', [n, 3]));
  const column = (c: number) => facts.filter((_, at) => at % 3 === c);
  const examples: KeptExamples = {
    vectors: Array.from({ length: n }, (_, i) => vectors.slice(i * size, (i + 1) * size)),
    classOf: column(0),
    groups: column(1),
    judged: column(2),
  };
  const counted = counts.map((_, c) => examples.classOf.filter((own) => own === c).length);
  if (counted.some((found, c) => found !== counts[c]))
    throw file.fail(`examples: ${counted.join(', ')} of the labels, the settings have ${counts.join(', ')}`);
  if (examples.judged.some((value) => value < -1 || value > 1) || examples.groups.some((group) => group < 0))
    throw file.fail('examples holds a value that no classifier has');
  try {
    return { ...atOnce(classifierOf(settings, examples, { calibrate: false })), calibration, leaveOneOutAccuracy };
  } catch (error) {
    throw file.fail((error as Error).message);
  }
}

function fromSums(file: OpenFile): ClassifierData {
  const { settings } = file;
  const { dHead, heads, labels } = settings;
  const classShape = [heads.length, labels.length];
  const { needsSpread } = comparisons[settings.compare];
  const { isWeighted } = voteRules[settings.vote];
  const data: ClassifierData = {
    ...settings,
    sums: float64(file, 'sums', [...classShape, dHead]),
    products: needsSpread ? float64(file, 'products', [heads.length, dHead, dHead]) : undefined,
    said: isWeighted ? int32(file, 'said', classShape) : undefined,
    right: isWeighted ? int32(file, 'right', classShape) : undefined,
  };
  if (data.said?.some((said, i) => data.right![i] > said)) throw file.fail('right: more right votes than votes');
  return data;
}

/** What a classifier of an older file lacks, in one line; undefined where it lacks nothing. */
export function describeAge({ data }: SavClassifier, name: string): string | undefined {
  if (data.examples) return undefined;
  return `${name}: of an older format, without its examples: confidence does not fall on what is far from every class, 'none of these' is not possible, and a change of its examples ends its confidence; fit again to have them`;
}

/** … and the other half. @throws ClassifierError as `decodeClassifier`, of the model. */
export function checkModel({ data }: SavClassifier, name: string, model: ModelOfHeads): void {
  const { modelId, madeWith, nLayers, nHeads, dHead } = data;
  if (modelId !== model.modelId) {
    throw new ClassifierError(
      `${name}: was fitted on model ${quote(modelId)}, the model in use is ${quote(model.modelId)}; use that model, or fit again on this one`,
    );
  }
  const changed = madeWith && model.madeWith ? changedFiles(madeWith, model.madeWith) : [];
  if (changed.length) {
    const files = changed.map(quote).join(', ');
    throw new ClassifierError(
      `${name}: was fitted before ${files} of the checkpoint changed, which decides what the model is shown; fit again, or put the old ${changed.length === 1 ? 'file' : 'files'} back`,
    );
  }
  if (nHeads !== model.nHeads || dHead !== model.dHead || nLayers > model.nLayers) {
    throw new ClassifierError(
      `${name}: is for ${nLayers} layers of ${nHeads} heads of size ${dHead}, the model has ${model.nLayers} of ${model.nHeads} of size ${model.dHead}`,
    );
  }
}

/** What a user should know of a classifier that is used all the same; undefined where there is nothing. */
export function doubtsAbout(
  { data }: SavClassifier,
  name: string,
  model: ModelOfHeads & Pick<HeadVectorSource, 'precision'>,
): string | undefined {
  if (data.precision !== model.precision) {
    const said = (precision = 'as stored') => quote(precision);
    return `${name}: was fitted with the precision ${said(data.precision)}, the model in use has ${said(model.precision)}: answers may differ from what fit has measured; use --weights and --arithmetic as then, or fit again`;
  }
  if (!model.madeWith || data.madeWith?.numerics === model.madeWith.numerics) return undefined;
  return data.madeWith
    ? `${name}: was fitted by a version of Headlight that computes other numbers (${data.madeWith.numerics}, this one ${model.madeWith.numerics}): answers may differ from what fit has measured; fit again`
    : `${name}: does not say what the model was shown when it was fitted (an older version's file): a changed processor would go unseen; fit again`;
}

function float64(file: OpenFile, tensor: string, shape: number[]): Float64Array {
  const values = new Float64Array(copyOf(file, tensor, 'F64', shape));
  if (!values.every(Number.isFinite)) throw file.fail(`${tensor} holds a value that is not finite`);
  return values;
}

function int32(file: OpenFile, tensor: string, shape: number[]): Int32Array {
  const values = new Int32Array(copyOf(file, tensor, 'I32', shape));
  if (values.some((value) => value < 0)) throw file.fail(`${tensor} holds a count below 0`);
  return values;
}
