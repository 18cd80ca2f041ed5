import { knockOutImages } from '../analysis/knockout.ts';
import { lineChart } from '../charts/line-chart.ts';
import {
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
import { oneOf } from './data.ts';
import { integer } from './model.ts';
import { openPrompt, type PromptOptions, withPromptOptions } from './prompt.ts';
import { table } from './table.ts';

interface Options extends PromptOptions, OutputOptions, TargetOptions {
  queries: 'last' | 'text';
  window: number;
}

export const knockoutCommand: Register = (program, run) => {
  withOutputOptions(withTargetOptions(withPromptOptions(program.command('knockout'))))
    .description('Find the layers in which the answer depends on looking at the picture (attention knockout).')
    .option(
      '--queries <who>',
      'whose view of the image tokens is cut: that of the last position, or of all text',
      oneOf('last', 'text'),
      'last',
    )
    .option('--window <layers>', 'how many layers cannot see the picture at once', integer(1), 1)
    .addHelpText(
      'after',
      `
Examples:
  headlight knockout --image scene.png --prompt 'Warm or cool?' --token warm --against cool --out knockout.png
  headlight knockout --image scene.png --prompt 'What is in the image?' --queries text --window 3`,
    )
    .action(
      run<Options>(async (context, options) => {
        const { model, input } = await openPrompt(context, options);
        const { target, name, tokens } = await readTarget(context, model, input, options);
        const { queries, window } = options;
        const { nLayers } = model.config.text;
        const found = await withProgress(context, 'knocking out', (progress) =>
          knockOutImages(model, input, target, { queries, window, ...progress }),
        );
        const { baseline, everywhere, windows } = found;
        const layers = (start: number, end: number) => (end - start === 1 ? `${start}` : `${start}–${end - 1}`);
        context.print(
          table(
            ['blinded layers', name, 'change'],
            [
              ['none', baseline] as const,
              ...windows.map(({ start, end, value }) => [layers(start, end), value] as const),
              ['all', everywhere] as const,
            ].map(([which, value]) => [which, short(value), short(value - baseline)]),
          ),
        );
        await writeResults(context, options, {
          json: { ...tokens, queries, ...found },
          rows: [{ start: 0, end: 0, value: baseline }, ...windows, { start: 0, end: nLayers, value: everywhere }].map(
            ({ start, end, value }) => ({ start, end, value, change: value - baseline }),
          ),
          plot: () =>
            lineChart({
              title: 'Without attention to the picture',
              subtitle: `${queries === 'last' ? 'The last position does' : 'Text positions do'} not see the image tokens in ${window === 1 ? 'one layer' : `${window} layers`} at a time.`,
              x: {
                title: window === 1 ? 'blinded layer' : 'blinded layers',
                labels: windows.map((w) => layers(w.start, w.end)),
              },
              y: name,
              values: windows.map(({ value }) => value),
              levels: [
                { name: 'nothing blinded', value: baseline },
                { name: 'blinded everywhere', value: everywhere },
              ],
            }),
        });
      }),
    );
};
