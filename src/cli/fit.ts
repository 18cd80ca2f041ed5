import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import { readFileBytes } from '#platform';
import { helpOf, keysOf } from '../base/choices.ts';
import { greatest, least } from '../base/extremes.ts';
import { percent } from '../base/format.ts';
import { headName } from '../base/heads.ts';
import { printableLine } from '../base/printable.ts';
import { writeWhole } from '../platform/node-write.ts';
import type { ClassifierData } from '../sav/classifier-data.ts';
import { encodeClassifier, parseClassifier } from '../sav/classifier-file.ts';
import { type Compare, comparisons } from '../sav/comparisons.ts';
import { labelsOf } from '../sav/data.ts';
import { auditLabels } from '../sav/explain.ts';
import { defaults, fitClassifier, parity } from '../sav/fit.ts';
import { describeRepeats } from '../sav/groups.ts';
import { describeOtherModel, projectStore } from '../sav/project.ts';
import { type Scoring, scorings } from '../sav/scoring.ts';
import { type Vote, voteRules } from '../sav/votes.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import {
  common,
  type DataOptions,
  dataKinds,
  featureStore,
  headCount,
  oneOf,
  promptSet,
  readData,
  readHeadVectors,
  readProject,
  withDataOptions,
  withSharePrefixOption,
} from './data.ts';
import { outputFile } from './files.ts';
import { checkFitted } from './fitted.ts';
import { integer, type ModelOptions, openModel, withCommonOptions } from './model.ts';
import { type RefusalOptions, refusalOf, withRefusalOptions } from './open-set.ts';
import { reportProfile, withProfileOption } from './profile.ts';
import { table } from './table.ts';
import { checkHeadOptions, checkLabels } from './training.ts';

interface Options extends ModelOptions, DataOptions, RefusalOptions {
  train?: string;
  out?: string;
  heads?: number | 'auto';
  scoring?: Scoring;
  vote: Vote;
  compare?: Compare;
  parity?: boolean;
  maxLayer?: number;
  headsFrom?: string;
}

export const fitCommand: Register = (program, run) => {
  withProfileOption(
    withSharePrefixOption(withRefusalOptions(withDataOptions(withCommonOptions(program.command('fit'))))),
  )
    .description('Choose attention heads from labelled examples and store a classifier.')
    .argument('[data]', `labelled examples, about 20 a label: ${dataKinds}`)
    .option('--train <data>', 'another way to give the labelled examples')
    .option(
      '--out <file>',
      'the classifier to write, a safetensors file (default: named as the data, in this folder)',
      outputFile,
    )
    .option(
      '--heads <k>',
      `attention heads that vote: a number, or auto, by leave-one-out (default: ${defaults.k})`,
      headCount,
    )
    .option(
      '--scoring <how>',
      `how heads are judged: ${helpOf(scorings)} (default: ${defaults.scoring}; train where each label has one example)`,
      oneOf(...keysOf(scorings)),
    )
    .option('--vote <how>', `how heads vote: ${helpOf(voteRules)}`, oneOf(...keysOf(voteRules)), defaults.vote)
    .option(
      '--compare <how>',
      `how a head compares a query with the labels: ${helpOf(comparisons)} (default: ${defaults.compare}; cosine where examples are too few)`,
      oneOf(...keysOf(comparisons)),
    )
    .option('--parity', 'fit as the published method does: train scoring, 20 heads, majority, cosine (default: off)')
    .option('--heads-from <classifier>', 'take the heads of another task’s classifier instead of choosing (transfer)')
    .option(
      '--max-layer <l>',
      'choose heads of layers 0 to l only; queries then run no deeper (default: all layers)',
      integer(0),
    )
    .addHelpText(
      'after',
      `
A folder of class folders has photos/cat/1.jpg, photos/dog/2.png, …; a CSV has a header: image,label or image,label,question.
Examples:
  headlight fit photos/ --question "Which animal is this?"   # writes photos.safetensors
  headlight fit pets.headlight   # a project saved by the page, with its question and settings; writes pets.safetensors
  headlight fit --train train.jsonl --out pets.safetensors
  headlight fit --train train.jsonl --heads auto --cache .headlight --out pets.safetensors
  headlight fit --train questions.jsonl --share-prefix --out answers.safetensors   # many questions about each picture
  headlight fit --train train.jsonl --parity --out published.safetensors
  headlight fit --train train.jsonl --none-of-these --out open.safetensors
  headlight fit --train b.jsonl --heads-from a.safetensors --out b.safetensors`,
    )
    .action((data: string | undefined, options: Options, command: Command) => fitOn({ ...options, data }, command));

  const fitOn = run<Options & { data?: string }>(async (context, options) => {
    const location = oneData(options);
    const out = options.out ?? (await defaultOut(location));
    const project = await readProject(location);
    const train = await readData(context, location, options, { project });
    const labels = labelsOf(train);
    checkLabels(location, labels);
    const { headsFrom } = options;
    const other = headsFrom === undefined ? undefined : parseClassifier(await readFileBytes(headsFrom), headsFrom);
    const model = await openModel(context, options);
    if (other) checkFitted(context, other, headsFrom!, model);
    const heads = options.heads ?? project?.fit.k;
    checkHeadOptions(model, { ...options, heads });
    const otherModel = project && describeOtherModel(project, model);
    if (otherModel) context.note(`${location}: ${otherModel}`);
    const store = project && (await projectStore(project, model, featureStore(options)));
    const features = await readHeadVectors(context, model, train, options, { store });
    const given = other?.data.heads;
    const { classifier, leaveOneOut, groups, notes } = await fitClassifier(features, labels, {
      signal: context.signal,
      ...(options.parity
        ? parity
        : { k: heads, scoring: options.scoring, vote: options.vote, compare: options.compare }),
      ...(given && { heads: given, k: given.length }),
      maxLayer: options.maxLayer,
      promptSet: promptSet(options).name,
      prompt: common(train, (example) => example.prompt),
      images: train.some(({ loadVideos }) => loadVideos) ? undefined : common(train, ({ images }) => images.length),
      candidates: train.map((e) => e.candidates),
      refusal: refusalOf(options) ?? project?.fit.refusal,
    });
    const warnings = [...describeRepeats(groups, train), ...notes];
    for (const warning of warnings) context.note(warning);
    await writeWhole(out, encodeClassifier(classifier));

    const { data } = classifier;
    context.print(
      table(
        ['head', 'right', 'of', 'margin'],
        data.heads.map((h) => [headName(h), `${h.correct}`, `${data.nExamples}`, h.margin.toFixed(3)]),
      ),
    );
    if (data.prompt !== undefined) context.print(`\nquestion: ${printableLine(data.prompt.trim())}`);
    context.print(labelCounts(data));
    if (data.leaveOneOutAccuracy !== undefined)
      context.print(`leave-one-out accuracy ${percent(data.leaveOneOutAccuracy)} with ${data.heads.length} heads`);
    const doubts = data.counts.every((n) => n >= 2) ? auditLabels(classifier, features, labels) : [];
    for (const { index, label, against, heads, suggested } of doubts.slice(0, 5))
      context.print(
        printableLine(
          `check ${train[index].source}: labelled ${label}, ${against} of ${heads} heads say otherwise, most ${suggested}`,
        ),
      );
    context.print('');
    context.printWritten(out);
    context.result({
      file: out,
      modelId: data.modelId,
      labels: data.labels,
      counts: data.counts,
      heads: data.heads,
      leaveOneOutAccuracy: data.leaveOneOutAccuracy,
      leaveOneOut: leaveOneOut.map(({ k, accuracy }) => ({ k, accuracy })),
      labelAudit: doubts.map(({ index, ...doubt }) => ({ source: train[index].source, ...doubt })),
      ...reportProfile(context, model),
    });
  });
};

/** What is named to fit on, once. */
function oneData({ data, train }: { data?: string; train?: string }): string {
  if ((data === undefined) === (train === undefined))
    throw new UsageError('give the labelled examples once: headlight fit photos/, or --train (see --help)');
  return data ?? train!;
}

/** `photos/` makes `photos.safetensors`. What is there in its place is replaced only if fit has written it. */
async function defaultOut(location: string): Promise<string> {
  const name =
    location === '-' ? 'classifier' : basename(resolve(location)).replace(/\.(jsonl?|ndjson|csv|tsv|headlight)$/i, '');
  const file = outputFile(`${name || 'classifier'}.safetensors`);
  if (!existsSync(file)) return file;
  try {
    parseClassifier(await readFileBytes(file), file);
  } catch {
    throw new UsageError(`${file} is there and is no classifier of fit's: name another file by --out`);
  }
  return file;
}

/** Labels that are named; a task of hundreds has the rest in --json. */
const shownLabels = 20;

function labelCounts({ labels, counts }: ClassifierData): string {
  const shown = labels.slice(0, shownLabels).map((label, i) => `${printableLine(label)} (${counts[i]})`);
  const more = labels.length - shown.length;
  return `${labels.length} labels: ${shown.join(', ')}${more > 0 ? ` and ${more} more, with ${least(counts)} to ${greatest(counts)} examples each` : ''}`;
}
