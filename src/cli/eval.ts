import { basename } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { keysOf } from '../base/choices.ts';
import { percent } from '../base/format.ts';
import { printableLine } from '../base/printable.ts';
import { renderReport } from '../charts/report/report.ts';
import { writeWhole } from '../platform/node-write.ts';
import { labelsOf } from '../sav/data.ts';
import { defaultLabelPrompt, type EncoderPredictions } from '../sav/encoder-baselines.ts';
import { DataError } from '../sav/errors.ts';
import { defaults } from '../sav/fit.ts';
import { type Judgement, type MethodName, measure, methods } from '../sav/methods.ts';
import { type MetricName, matchLabel, metrics, selection } from '../sav/metrics.ts';
import type { Task, TaskResult } from '../sav/task.ts';
import type { Register } from './command.ts';
import { confusionText } from './confusion.ts';
import { type Context, UsageError } from './context.ts';
import {
  common,
  type DataOptions,
  dataKinds,
  featureStore,
  headCount,
  oneOf,
  promptSet,
  readData,
  withDataOptions,
  withSharePrefixOption,
} from './data.ts';
import { openEncoders, runEncoder } from './encoder.ts';
import { runTaskHere, summaryJson } from './experiments.ts';
import { outputFile } from './files.ts';
import { labelsCsv } from './labels-output.ts';
import { collect, type ModelOptions, modelName, openModel, withCacheOption, withCommonOptions } from './model.ts';
import { describeSelection, type RefusalOptions, refusalOf, withRefusalOptions } from './open-set.ts';
import { reportTask } from './report-task.ts';
import { table } from './table.ts';
import { checkHeadOptions, checkLabels } from './training.ts';

const defaultMethods = keysOf(methods).filter((name) => methods[name].byDefault);

interface Options extends ModelOptions, DataOptions, RefusalOptions {
  train: string;
  test: string;
  heads?: number | 'auto';
  method: MethodName[];
  metric?: MetricName;
  csv?: string;
  report?: string;
  baselineEncoder?: string[];
  labelPrompt: string;
}

export const evalCommand: Register = (program, run) => {
  withCacheOption(
    withSharePrefixOption(withRefusalOptions(withDataOptions(withCommonOptions(program.command('eval'))))),
  )
    .description(
      'Measure the accuracy of SAVs on labelled queries, with a confusion matrix, and that of baselines on the same data.',
    )
    .requiredOption('--train <data>', `labelled examples: ${dataKinds}`)
    .requiredOption('--test <data>', 'labelled queries, in one of the same forms')
    .option('--heads <k>', `attention heads that vote: a number, or auto (default: ${defaults.k})`, headCount)
    .addOption(
      new Option('--method <names>', `what to compare, separated by commas: ${keysOf(methods).join(', ')}`)
        .argParser(methodList)
        .default(defaultMethods, defaultMethods.join(',')),
    )
    .option(
      '--metric <name>',
      `how answers are scored: ${keysOf(metrics).join(', ')} (default: the prompt set’s)`,
      oneOf(...keysOf(metrics)),
    )
    .option(
      '--baseline-encoder <dir>',
      'also compare with CLIP or SigLIP, a checkpoint folder: zero-shot by the texts of the labels, few-shot by class centroids; give it again for several',
      collect,
    )
    .option(
      '--label-prompt <text>',
      'the text of a label in zero-shot; {label} becomes the label',
      labelPrompt,
      defaultLabelPrompt,
    )
    .option('--csv <file>', 'also write the label of each query to a CSV file, a row each', outputFile)
    .option('--report <file>', 'also write an HTML report', outputFile)
    .addHelpText(
      'after',
      `
parity is the published method: scored on the training set, 20 heads, majority vote.
--baseline-encoder adds two rows: encoder-zero-shot is the label whose text is most like the image; encoder-centroid the
class whose mean embedding over the training rows is nearest. Where rows have several images or questions of their own,
encoder-centroid joins two embeddings: that of the image (of several, the mean) and that of the question.
--share-prefix is for head vectors and for what the model answers itself (methods that ask it); encoders see each picture whole.
Examples:
  headlight eval --train photos/train --test photos/test --question "Which animal is this?"
  headlight eval --train train.jsonl --test test.jsonl
  headlight eval --train t.jsonl --test q.jsonl --heads auto --method sav,parity,linear-probe --report report.html
  headlight eval --train t.jsonl --test q.jsonl --prompt-set naturalbench --json > result.json
  headlight eval --train t.jsonl --test q.jsonl --baseline-encoder ~/models/clip-vit-large-patch14-336`,
    )
    .action(
      run<Options>(async (context, options) => {
        const set = promptSet(options);
        const metric = options.metric ?? set.metric;
        const task = {
          name: basename(options.test),
          train: await readData(context, options.train, options),
          test: await readData(context, options.test, options),
        };
        checkTask(context, task, options, metric);
        const encoders = await openEncoders(options.baselineEncoder ?? []);
        const model = await openModel(context, options);
        checkHeadOptions(model, options);
        const { gpu } = model;
        const store = featureStore(options);
        const predictions: EncoderPredictions[] = [];
        for (const encoder of encoders)
          predictions.push(await runEncoder(context, encoder, task, { gpu, store, labelPrompt: options.labelPrompt }));
        const result = await runTaskHere(context, model, task, {
          k: options.heads,
          refusal: refusalOf(options),
          promptSet: set.name,
          prompt: common(task.train, ({ prompt }) => prompt),
          zeroShot: options.method.some((name) => methods[name].asksTheModel),
          store,
          sharePrefix: options.sharePrefix,
          encoders: predictions,
        });
        const rows: (Judgement & { method: string; encoder?: string })[] = [];
        for (const method of options.method) rows.push({ method, ...(await methods[method].judge(result, metric)) });
        rows.push(...predictions.flatMap((encoder) => judgeEncoder(encoder, result, metric)));
        for (const warning of result.warnings) context.note(warning);
        context.print(
          table(
            ['method', metric, 'of', 'details'],
            rows.map(({ method, evaluation, accuracy, details }) => [
              method,
              percent(accuracy),
              `${evaluation?.n ?? task.test.length}`,
              details,
            ]),
          ),
        );
        context.print(`chance ${percent(result.experiment.evaluation.chance)}\n`);
        context.print(confusionText(result.experiment.evaluation));
        const { predictions: answers, fit } = result.experiment;
        const found = refusalOf(options) && selection(labelsOf(task.test), answers, fit.classifier.data.labels);
        if (found) context.print(`\n${describeSelection(found)}`);
        if (options.csv) {
          const predicted = result.experiment.predictions;
          const rows = task.test.map((example, i) => ({ example, prediction: predicted[i] }));
          await writeWhole(options.csv, labelsCsv(rows, { header: true, truth: true }));
          context.print('');
          context.printWritten(options.csv);
        }
        if (options.report) {
          const facts = [
            { name: 'model', value: modelName(options, model) },
            { name: 'data', value: `${options.train}, ${options.test}` },
          ];
          await writeWhole(
            options.report,
            await renderReport({ title: task.name, facts, tasks: [await reportTask(context, model, result, 12)] }),
          );
          context.print(`\nReport: ${printableLine(options.report)}`);
        }
        context.result({ metric, methods: rows, selection: found, ...summaryJson(result) });
      }),
    );
};

function judgeEncoder(encoder: EncoderPredictions, result: TaskResult, metric: MetricName) {
  const { name, features, labelPrompt: prompt, zeroShot, nearestCentroid: centroid } = encoder;
  const row = (method: string, predicted: readonly string[], how: string) => {
    const judged = measure(predicted, result, metric);
    return { method, encoder: name, ...judged, details: `${name}, ${how}; ${judged.details}` };
  };
  return [row('encoder-zero-shot', zeroShot, JSON.stringify(prompt)), row('encoder-centroid', centroid, features)];
}

/** What would end the run late, said early; and what makes its figures less than they seem. */
function checkTask(context: Context, task: Task, { train, test, method }: Options, metric: MetricName): void {
  const labels = [...new Set(labelsOf(task.train))];
  checkLabels(train, labels);
  for (const { source, candidates } of task.test) {
    const stray = candidates?.find((label) => !labels.includes(label));
    if (stray !== undefined)
      throw new DataError(`${source}: no training row has the label '${stray}' of its candidates`);
  }
  const strange = task.test.filter(({ label }) => !labels.includes(label!));
  if (strange.length)
    context.note(
      `${test}: ${strange.length} of ${task.test.length} rows have a label that no training row has ('${strange[0].label}'): they count as wrong`,
    );
  try {
    metrics[metric].measure(
      task.test.map(() => true),
      task.test.map(({ group }) => group),
    );
  } catch (e) {
    throw new UsageError(`--metric ${metric}: ${test}: ${(e as Error).message}`);
  }
  if (method.some((name) => methods[name].asksTheModel))
    try {
      matchLabel('', labels);
    } catch (e) {
      throw new UsageError(`${(e as Error).message}; rename one, or leave the model's own answers out: --method sav`);
    }
}

function labelPrompt(text: string): string {
  if (!text.includes('{label}')) throw new InvalidArgumentError('Write {label} where the label belongs.');
  return text;
}

function methodList(text: string): MethodName[] {
  const names = text.split(',').map((s) => s.trim());
  const unknown = names.filter((name) => !Object.hasOwn(methods, name));
  if (unknown.length)
    throw new InvalidArgumentError(`No method ${unknown.join(', ')}; there are ${keysOf(methods).join(', ')}.`);
  return names as MethodName[];
}
