import { readFileBytes } from '#platform';
import { ablateClassifier, ablateHeads, meanOutputs } from '../analysis/ablation.ts';
import { checkHeads } from '../analysis/heads.ts';
import { percent } from '../base/format.ts';
import { allHeads, type Head, headName } from '../base/heads.ts';
import { heatMap } from '../charts/heat-map.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import { parseClassifier } from '../sav/classifier-file.ts';
import { type Example, show } from '../sav/features.ts';
import { type PromptSetName, promptSetByName } from '../sav/prompt-sets.ts';
import {
  type HeadChoice,
  headChoice,
  numbers,
  type OutputOptions,
  readTarget,
  short,
  type TargetOptions,
  withOutputOptions,
  withProgress,
  withTargetOptions,
  writeResults,
} from './analysis.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import type { CsvRow } from './csv.ts';
import { type DataOptions, dataKinds, oneOf, readData, withDataOptions } from './data.ts';
import { checkFitted } from './fitted.ts';
import { type InterventionOptions, readInterventions, withInterventionOptions } from './interventions.ts';
import { integer, type ModelOptions, openModel, withCommonOptions } from './model.ts';
import { openPrompt, type PictureOptions, withPictureOptions } from './prompt.ts';
import { table } from './table.ts';

interface Options extends ModelOptions, PictureOptions, DataOptions, InterventionOptions, OutputOptions, TargetOptions {
  prompt?: string;
  rawPrompt?: boolean;
  heads?: HeadChoice;
  mean?: string;
  position: 'all' | 'last';
  classifier?: string;
  data?: string;
  top: number;
}

export const ablateCommand: Register = (program, run) => {
  const command = withPictureOptions(withDataOptions(withCommonOptions(program.command('ablate'))));
  withOutputOptions(withTargetOptions(withInterventionOptions(command)))
    .description(
      'Measure what each head is good for: the answer, or a classifier’s accuracy, with one head taken out at a time.',
    )
    .option('--prompt <text>', 'a question: measures the answer’s logit')
    .option(
      '--raw-prompt',
      'use the prompt as it is, without the chat template; it holds the checkpoint’s own placeholders',
    )
    .option(
      '--classifier <file>',
      'instead of a prompt: a classifier that fit has written; measures its accuracy on --data',
    )
    .option('--data <file>', `with --classifier: the labelled queries: ${dataKinds}`)
    .option('--heads <list>', 'layer.head, separated by commas; 2.* for a layer; all (default: all)', headChoice)
    .option(
      '--mean <file>',
      `replace a head’s output by its mean over these examples, instead of by zero: ${dataKinds}`,
    )
    .option('--position <where>', 'take heads out at all positions, or at the last', oneOf('all', 'last'), 'all')
    .option('--top <n>', 'how many heads to print, those that change the measure most', integer(1), 10)
    .addHelpText(
      'after',
      `
A red head in the plot speaks for the answer: the measure falls without it, and its change in the table is below zero. The
plots of attribute and patch have the same colours.
Examples:
  headlight ablate --image scene.png --prompt 'Warm or cool?' --token warm --against cool --out ablation.png
  headlight ablate --image scene.png --prompt 'What is in the image?' --mean train.jsonl --csv ablation.csv
  headlight ablate --image scene.png --prompt 'Warm or cool?' --edits edits.json   # without each head in turn, on top of edits.json
  headlight ablate --classifier pets.safetensors --data queries.jsonl --heads 2.*,3.*`,
    )
    .action(
      run<Options>(async (context, options) => {
        const { prompt, classifier, data } = options;
        if ((classifier === undefined) !== (data === undefined))
          throw new UsageError('--classifier and --data go together');
        if ((prompt === undefined) === (classifier === undefined))
          throw new UsageError('give either --prompt, or --classifier and --data (see --help)');
        if (prompt !== undefined) await ofAnswer(context, { ...options, prompt });
        else await ofClassifier(context, { ...options, classifier: classifier!, data: data! });
      }),
    );
};

async function ofAnswer(context: Context, options: Options & { prompt: string }): Promise<void> {
  const ofMean = await readMeanExamples(context, options);
  const { model, input } = await openPrompt(context, options);
  const { text } = model.config;
  const { target, name, tokens } = await readTarget(context, model, input, options);
  const means = await readMeans(context, model, ofMean);
  const found = await withProgress(context, 'taking heads out', (progress) =>
    ablateHeads(model, input, target, {
      heads: options.heads?.(text),
      ...how(options, means),
      ...progress,
    }),
  );
  await report(context, model, options, {
    ...found,
    measured: name,
    digits: short,
    json: { ...tokens },
    title: `Without one head: the ${name}`,
  });
}

async function ofClassifier(context: Context, options: Options & { classifier: string; data: string }): Promise<void> {
  const classifier = parseClassifier(await readFileBytes(options.classifier), options.classifier);
  const interventions = await readInterventions(options);
  const { maxLayer } = classifier;
  const { prompt, labels } = classifier.data;
  const set = promptSetByName(classifier.data.promptSet).name as PromptSetName;
  const queries = await readData(context, options.data, { ...options, promptSet: set }, { prompt, known: labels });
  const ofMean = await readMeanExamples(context, { ...options, promptSet: set }, prompt);
  const asItIs = await openModel(context, options);
  checkFitted(context, classifier, options.classifier, asItIs);
  const model = asItIs.with(interventions);
  const { text } = model.config;
  const heads = (options.heads ?? allHeads)(text).filter(({ layer }) => layer <= maxLayer);
  checkHeads(text, heads);
  if (!heads.length) throw new UsageError(`the classifier reads layers 0 to ${maxLayer}: no head lies there`);
  const means = await readMeans(context, model, ofMean);
  const found = await withProgress(context, 'taking heads out', (progress) =>
    ablateClassifier(
      model,
      queries.map((query) => ({
        input: async () => model.input(await show(query)),
        isRight: (vectors) => classifier.classify(vectors, { candidates: query.candidates }).label === query.label,
      })),
      { heads, maxLayer, ...how(options, means), ...progress },
    ),
  );
  await report(context, model, options, {
    ...found,
    measured: 'accuracy',
    digits: percent,
    json: { queries: queries.length },
    title: `Without one head: accuracy on ${queries.length} queries`,
  });
}

const how = ({ position }: Options, means: Float32Array | undefined) => ({
  means,
  ...(position === 'last' && { positions: -1 }),
});

/** @param prompt what pictures without a question of their own are asked: a classifier's. */
const readMeanExamples = async (context: Context, options: Options, prompt?: string): Promise<Example[] | undefined> =>
  options.mean === undefined ? undefined : readData(context, options.mean, options, { labels: 'optional', prompt });

async function readMeans(
  context: Context,
  model: VisionLanguageModel,
  examples: readonly Example[] | undefined,
): Promise<Float32Array | undefined> {
  if (examples === undefined) return undefined;
  return withProgress(context, 'mean outputs', async (progress) => {
    const inputs = examples.map((example) => async () => model.input(await show(example)));
    return meanOutputs(model, inputs, progress);
  });
}

interface Report {
  readonly heads: readonly Head[];
  readonly baseline: number;
  readonly values: ArrayLike<number>;
  readonly measured: string;
  readonly digits: (x: number) => string;
  readonly json: object;
  readonly title: string;
}

async function report(
  context: Context,
  model: VisionLanguageModel,
  options: Options,
  { heads, baseline, values, measured, digits, json, title }: Report,
): Promise<void> {
  const { nLayers, nHeads } = model.config.text;
  const rows = heads.map(({ layer, head }, i) => ({ layer, head, value: values[i], change: values[i] - baseline }));
  const most = [...rows].sort((a, b) => Math.abs(b.change) - Math.abs(a.change)).slice(0, options.top);
  context.print(`${measured}: ${digits(baseline)} with every head`);
  context.print(
    table(
      ['without', measured, 'change'],
      most.map((row) => [headName(row), digits(row.value), digits(row.change)]),
    ),
  );
  const replaced = options.mean ? 'its mean' : 'zero';
  await writeResults(context, options, {
    json: { ...json, measured, replacedBy: replaced, position: options.position, baseline, heads: rows },
    rows: rows.map((row): CsvRow => row),
    plot: () => {
      const lost = new Float64Array(nLayers * nHeads).fill(Number.NaN);
      for (const { layer, head, change } of rows) lost[layer * nHeads + head] = -change;
      return heatMap({
        title,
        subtitle: `${digits(baseline)} with every head. Each head in turn is replaced by ${replaced} ${options.position === 'all' ? 'at all positions' : 'at the last position'}.`,
        values: lost,
        rows: { title: 'layer', labels: numbers(nLayers) },
        columns: { title: 'head', labels: numbers(nHeads) },
        legend: 'lost without it',
        scale: 'diverging',
      });
    },
  });
}
