import { basename } from 'node:path';
import { centroidCosines, headOverlap, linearCka } from '../analysis/similarity.ts';
import { percent } from '../base/format.ts';
import { allHeads, headName } from '../base/heads.ts';
import { heatMap } from '../charts/heat-map.ts';
import { labelsOf } from '../sav/data.ts';
import { defaults, fitClassifier } from '../sav/fit.ts';
import { numbers, type OutputOptions, short, withOutputOptions, writeResults } from './analysis.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import type { CsvRow } from './csv.ts';
import {
  type DataOptions,
  dataKinds,
  headCount,
  oneOf,
  readData,
  readHeadVectors,
  withDataOptions,
  withSharePrefixOption,
} from './data.ts';
import { collect, integer, type ModelOptions, openModel, withCommonOptions } from './model.ts';
import { table } from './table.ts';

interface Options extends ModelOptions, DataOptions, OutputOptions {
  data: string[];
  measure: 'cosine' | 'cka';
  select?: number | 'auto';
  top: number;
}

export const similarityCommand: Register = (program, run) => {
  withOutputOptions(withSharePrefixOption(withDataOptions(withCommonOptions(program.command('similarity')))))
    .description('Measure how alike heads behave in two tasks, and which heads SAVs would choose for both.')
    .requiredOption('--data <file>', `labelled examples: ${dataKinds}; give it twice`, collect)
    .option(
      '--measure <name>',
      'how alike is measured: cosine, of a head’s mean outputs; cka, of its outputs for the same pictures, row by row',
      oneOf('cosine', 'cka'),
      'cosine',
    )
    .option(
      '--select <k>',
      `how many heads are chosen for each task: a number, or auto, by leave-one-out (default: ${defaults.k})`,
      headCount,
    )
    .option('--top <n>', 'how many heads to print, of the most and of the least alike', integer(1), 5)
    .addHelpText(
      'after',
      `
Examples:
  headlight similarity --data colours.jsonl --data shapes.jsonl --out similarity.png
  headlight similarity --data asked-one-way.jsonl --data asked-another.jsonl --measure cka --csv cka.csv`,
    )
    .action(
      run<Options>(async (context, options) => {
        if (options.data.length !== 2) throw new UsageError('two tasks are compared: give --data twice');
        const tasks = [
          await readData(context, options.data[0], options),
          await readData(context, options.data[1], options),
        ];
        const model = await openModel(context, options);
        const features = [];
        for (const [i, examples] of tasks.entries())
          features.push(await readHeadVectors(context, model, examples, options, { label: basename(options.data[i]) }));
        const compare = options.measure === 'cka' ? linearCka : centroidCosines;
        const similarity = compare(features[0].vectors, features[1].vectors, model);
        const chosen = [];
        for (const [i, each] of features.entries()) {
          const { classifier } = await fitClassifier(each, labelsOf(tasks[i]), {
            ...{ k: options.select, signal: context.signal },
          });
          chosen.push(classifier.data.heads);
        }
        const overlap = headOverlap(chosen[0], chosen[1]);
        const heads = allHeads(model);
        const order = heads.map((_, i) => i).sort((a, b) => similarity[b] - similarity[a]);
        const names = options.data.map((file) => basename(file));
        const ends = [...new Set([...order.slice(0, options.top), ...order.slice(-options.top)])];
        context.print(
          table(
            ['head', options.measure, ''],
            ends.map((i) => [headName(heads[i]), short(similarity[i]), '']),
          ),
        );
        context.print(
          `chosen for both: ${overlap.shared.map(headName).join(' ') || 'none'} (${percent(overlap.jaccard)} of all chosen)`,
        );
        await writeResults(context, options, {
          json: {
            tasks: options.data,
            measure: options.measure,
            heads: heads.map((head, i) => ({ ...head, similarity: similarity[i] })),
            chosen,
            shared: overlap.shared,
            jaccard: overlap.jaccard,
          },
          rows: heads.map(({ layer, head }, i): CsvRow => ({ layer, head, similarity: similarity[i] })),
          plot: () =>
            heatMap({
              title: `Heads in ${names.join(' and ')}`,
              subtitle:
                options.measure === 'cka'
                  ? 'Linear CKA of each head’s outputs for the same rows: 1 where they agree up to rotation and scale.'
                  : 'Cosine of each head’s mean outputs in the two tasks, at the last position.',
              values: similarity,
              rows: { title: 'layer', labels: numbers(model.nLayers) },
              columns: { title: 'head', labels: numbers(model.nHeads) },
              legend: options.measure,
              scale: options.measure === 'cka' ? 'sequential' : 'diverging',
            }),
        });
      }),
    );
};
