import { tokenText } from '../analysis/token-text.ts';
import { type HeadWords, headOutputs, headWords, meanHeadOutputs } from '../analysis/words.ts';
import { allHeads, headName } from '../base/heads.ts';
import { textGrid } from '../charts/text-grid.ts';
import {
  type HeadChoice,
  headCells,
  headChoice,
  type OutputOptions,
  positionOption,
  withOutputOptions,
  withProgress,
  writeResults,
} from './analysis.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import type { CsvRow } from './csv.ts';
import { type DataOptions, dataKinds, readData, readHeadVectors, withDataOptions } from './data.ts';
import { type InterventionOptions, withInterventionOptions } from './interventions.ts';
import { integer, type ModelOptions, openModel, withCommonOptions } from './model.ts';
import { openPrompt, type PictureOptions, withPictureOptions } from './prompt.ts';
import { table } from './table.ts';

interface Options extends ModelOptions, PictureOptions, DataOptions, InterventionOptions, OutputOptions {
  prompt?: string;
  rawPrompt?: boolean;
  data?: string;
  heads?: HeadChoice;
  top: number;
  strongest: number;
  position: number;
}

export const wordsCommand: Register = (program, run) => {
  withOutputOptions(
    withInterventionOptions(withDataOptions(withPictureOptions(withCommonOptions(program.command('words'))))),
  )
    .description(
      'List the words of heads: the tokens that a head’s output makes likelier, through W_O and the unembedding.',
    )
    .option('--prompt <text>', 'a question: takes the heads’ outputs at one of its positions')
    .option(
      '--raw-prompt',
      'use the prompt as it is, without the chat template; it holds the checkpoint’s own placeholders',
    )
    .option('--data <file>', `instead of a prompt: takes the heads’ mean outputs over examples: ${dataKinds}`)
    .option(
      '--heads <list>',
      'layer.head, separated by commas; 2.* for a layer; all (default: see --strongest)',
      headChoice,
    )
    .option(
      '--strongest <n>',
      'without --heads: how many heads to show, those that make a token likelier than other heads do',
      integer(1),
      16,
    )
    .option('--top <k>', 'how many words to show of each head', integer(1), 8)
    .addOption(positionOption('with --prompt: the position whose outputs are taken'))
    .addHelpText(
      'after',
      `
Values are what a head adds to a token's logit, times the final norm's scale, which is the same for all of them.
Examples:
  headlight words --image scene.png --prompt 'What is in the image?' --heads 4.2,5.*
  headlight words --data train.jsonl --out words.png`,
    )
    .action(
      run<Options>(async (context, options) => {
        const { prompt, data } = options;
        if ((prompt === undefined) === (data === undefined))
          throw new UsageError('give either --prompt or --data (see --help)');
        const { model, outputs, of } = await open(context, options);
        const found = await withProgress(context, 'words', () => headWords(model, outputs, { k: options.top }));
        const shown = options.heads ? found : strongest(found, options.strongest);
        const text = (id: number) => tokenText(model.processor.tokenizer, id);
        context.print(
          table(
            ['head', 'makes likelier'],
            shown.map((head) => [headName(head), head.promoted.map(({ id }) => text(id)).join(' ')]),
          ),
        );
        const named = (words: HeadWords['promoted']) => words.map((word) => ({ ...word, text: text(word.id) }));
        await writeResults(context, options, {
          json: {
            heads: shown.map((head) => ({
              ...headCells(head),
              promoted: named(head.promoted),
              suppressed: named(head.suppressed),
            })),
          },
          rows: shown.flatMap((head) =>
            (['promoted', 'suppressed'] as const).flatMap((kind) =>
              head[kind].map(
                ({ id, value }, i): CsvRow => ({
                  layer: head.layer,
                  head: head.head,
                  kind,
                  rank: i + 1,
                  token: text(id),
                  id,
                  value,
                }),
              ),
            ),
          ),
          plot: () =>
            textGrid({
              title: `Words of heads, ${of}`,
              subtitle: 'The tokens that each head’s output makes likelier, the most so on the left.',
              values: shown.flatMap((head) => head.promoted.map(({ value }) => value)),
              texts: shown.flatMap((head) => head.promoted.map(({ id }) => text(id))),
              rows: { title: 'head', labels: shown.map(headName) },
              columns: { title: 'rank', labels: shown[0].promoted.map((_, i) => `${i + 1}`) },
              legend: 'direct effect',
              scale: 'sequential',
            }),
        });
      }),
    );
};

/** The model and the outputs of the heads in question, of a prompt or the mean over a data set. */
async function open(context: Context, options: Options) {
  const { heads = allHeads, position } = options;
  if (options.prompt !== undefined) {
    const { model, input } = await openPrompt(context, { ...options, prompt: options.prompt });
    const chosen = heads(model.config.text);
    const outputs = await headOutputs(model, input, { heads: chosen, position });
    return { model, outputs, of: position === -1 ? 'at the last position' : `at position ${position}` };
  }
  if (options.image || options.video)
    throw new UsageError('--data brings its own pictures: leave --image and --video out');
  if (options.edits) throw new UsageError('--edits are of a prompt’s run; examples are read as the model is');
  if (options.kernel) throw new UsageError('--kernel is of a prompt’s run; examples are read as the model is');
  if (position !== -1) throw new UsageError('--position is of a prompt; of examples, the last position is read');
  const examples = await readData(context, options.data!, options, { labels: 'optional' });
  const model = await openModel(context, options);
  const { vectors } = await readHeadVectors(context, model, examples, options);
  const { text } = model.config;
  return { model, outputs: meanHeadOutputs(vectors, text, heads(text)), of: `mean of ${vectors.length} examples` };
}

const strongest = (all: readonly HeadWords[], count: number): HeadWords[] =>
  [...all].sort((a, b) => b.promoted[0].value - a.promoted[0].value).slice(0, count);
