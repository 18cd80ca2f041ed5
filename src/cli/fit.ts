import { readFileBytes } from '#platform';
import { headName } from '../analysis/heads.ts';
import { encodeClassifier, parseClassifier } from '../sav/classifier-file.ts';
import { labelsOf } from '../sav/data.ts';
import { auditLabels } from '../sav/explain.ts';
import { defaults, fitClassifier, parity } from '../sav/fit.ts';
import { describeRepeats } from '../sav/groups.ts';
import type { Compare } from '../sav/leave-one-out.ts';
import type { Scoring } from '../sav/scoring.ts';
import type { Vote } from '../sav/votes.ts';
import { printableLine } from '../text/printable.ts';
import type { Register } from './command.ts';
import {
  commonPrompt,
  type DataOptions,
  headCount,
  oneOf,
  promptSet,
  readData,
  readHeadVectors,
  withDataOptions,
} from './data.ts';
import { percent, table } from './experiments.ts';
import { outputFile, writeWhole } from './files.ts';
import { checkFitted } from './fitted.ts';
import { integer, type ModelOptions, openModel, withCommonOptions } from './model.ts';
import { type RefusalOptions, refusalOf, withRefusalOptions } from './open-set.ts';

interface Options extends ModelOptions, DataOptions, RefusalOptions {
  train: string;
  out: string;
  heads?: number | 'auto';
  scoring?: Scoring;
  vote: Vote;
  compare?: Compare;
  parity?: boolean;
  maxLayer?: number;
  headsFrom?: string;
}

export const fitCommand: Register = (program, run) => {
  withRefusalOptions(withDataOptions(withCommonOptions(program.command('fit'))))
    .description('Choose attention heads from labelled examples and store a classifier.')
    .requiredOption('--train <file>', 'labelled examples, JSON Lines {image, question, label}; about 20 a label')
    .requiredOption('--out <file>', 'the classifier, a safetensors file', outputFile)
    .option(
      '--heads <k>',
      `attention heads that vote: a number, or auto, by leave-one-out (default: ${defaults.k})`,
      headCount,
    )
    .option(
      '--scoring <how>',
      `how heads are judged: leave-one-out, or train as published (default: ${defaults.scoring}; train where each label has one example)`,
      oneOf('leave-one-out', 'train'),
    )
    .option(
      '--vote <how>',
      'majority, soft (summed similarities) or weighted (by leave-one-out reliability)',
      oneOf('majority', 'soft', 'weighted'),
      defaults.vote,
    )
    .option(
      '--compare <how>',
      `cosine to the centroids, or gaussian discriminant (default: ${defaults.compare}; cosine where examples are too few)`,
      oneOf('cosine', 'gaussian'),
    )
    .option('--parity', 'the published method: train scoring, 20 heads, majority, cosine')
    .option('--heads-from <classifier>', 'take another task’s heads instead of choosing (transfer)')
    .option('--max-layer <l>', 'choose among layers 0 to l only: queries then run no deeper', integer(0))
    .addHelpText(
      'after',
      `
Examples:
  headlight fit --train train.jsonl --out pets.safetensors
  headlight fit --train train.jsonl --heads auto --cache .headlight --out pets.safetensors
  headlight fit --train train.jsonl --parity --out published.safetensors
  headlight fit --train train.jsonl --none-of-these --out open.safetensors
  headlight fit --train b.jsonl --heads-from a.safetensors --out b.safetensors`,
    )
    .action(
      run<Options>(async (context, options) => {
        const train = await readData(options.train, options);
        const { headsFrom } = options;
        const other = headsFrom === undefined ? undefined : parseClassifier(await readFileBytes(headsFrom), headsFrom);
        const model = await openModel(context, options);
        if (other) checkFitted(context, other, headsFrom!, model);
        const features = await readHeadVectors(context, model, train, options);
        const labels = labelsOf(train);
        const given = other?.data.heads;
        const { classifier, leaveOneOut, groups, notes } = fitClassifier(features, labels, {
          ...(options.parity
            ? parity
            : { k: options.heads, scoring: options.scoring, vote: options.vote, compare: options.compare }),
          ...(given && { heads: given, k: given.length }),
          maxLayer: options.maxLayer,
          promptSet: promptSet(options).name,
          prompt: commonPrompt(train),
          candidates: train.map((e) => e.candidates),
          refusal: refusalOf(options),
        });
        const warnings = [...describeRepeats(groups, train), ...notes];
        for (const warning of warnings) context.note(warning);
        await writeWhole(options.out, encodeClassifier(classifier));

        const { data } = classifier;
        context.print(
          table(
            ['head', 'right', 'of', 'margin'],
            data.heads.map((h) => [headName(h), `${h.correct}`, `${data.nExamples}`, h.margin.toFixed(3)]),
          ),
        );
        context.print(
          `\n${data.labels.length} labels: ${data.labels.map((label, i) => `${printableLine(label)} (${data.counts[i]})`).join(', ')}`,
        );
        if (data.leaveOneOutAccuracy !== undefined)
          context.print(`leave-one-out accuracy ${percent(data.leaveOneOutAccuracy)} with ${data.heads.length} heads`);
        const doubts = data.leaveOneOutAccuracy === undefined ? [] : auditLabels(classifier, features, labels);
        for (const { index, label, against, heads, suggested } of doubts.slice(0, 5))
          context.print(
            printableLine(
              `check ${train[index].source}: labelled ${label}, ${against} of ${heads} heads say otherwise, most ${suggested}`,
            ),
          );
        context.print(`\nwrote ${options.out}`);
        context.result({
          file: options.out,
          modelId: data.modelId,
          labels: data.labels,
          counts: data.counts,
          heads: data.heads,
          leaveOneOutAccuracy: data.leaveOneOutAccuracy,
          leaveOneOut: leaveOneOut.map(({ k, accuracy }) => ({ k, accuracy })),
          refusal: data.refusal,
          warnings,
          labelAudit: doubts.map(({ index, ...doubt }) => ({ source: train[index].source, ...doubt })),
        });
      }),
    );
};
