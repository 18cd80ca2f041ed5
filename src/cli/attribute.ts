import { attributeLogit } from '../analysis/attribution.ts';
import { allHeads, headName } from '../base/heads.ts';
import { attributionChart } from '../charts/attribution-chart.ts';
import {
  type OutputOptions,
  positionOption,
  readTarget,
  short,
  type TargetOptions,
  withOutputOptions,
  withTargetOptions,
  writeResults,
} from './analysis.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import type { CsvRow } from './csv.ts';
import { integer } from './model.ts';
import { openPrompt, type PromptOptions, withPromptOptions } from './prompt.ts';
import { table } from './table.ts';

interface Options extends PromptOptions, OutputOptions, TargetOptions {
  position: number;
  top: number;
}

export const attributeCommand: Register = (program, run) => {
  withOutputOptions(withTargetOptions(withPromptOptions(program.command('attribute'))))
    .description('Measure what every head and layer adds to the logit of an answer (direct logit attribution).')
    .addOption(positionOption('the position whose logits are taken apart'))
    .option('--top <n>', 'how many parts to print, those that add or take most', integer(1), 12)
    .addHelpText(
      'after',
      `
The final norm's scale is held fast, so that the parts add up to the logit. What a head does by way of later layers is
not in its part: see headlight ablate for that. What --edits write into the residual stream is a part of its own.
Examples:
  headlight attribute --image scene.png --prompt 'Is it warm or cool?' --token warm --against cool --out warm.png
  headlight attribute --image scene.png --prompt 'What is in the image?' --csv parts.csv`,
    )
    .action(
      run<Options>(async (context, options) => {
        if (options.logProbability)
          throw new UsageError('a log probability is no sum of parts: leave --log-probability out');
        const { model, input } = await openPrompt(context, options);
        const { target, name, tokens } = await readTarget(context, model, input, options);
        const { token, against } = target;
        const edited = model.bound.edits.length > 0;
        const found = await attributeLogit(model, input, { token, against, position: options.position });
        const heads = allHeads(model.config.text);
        const parts: CsvRow[] = [
          { part: 'embed', layer: '', head: '', value: found.embed },
          ...heads.map(({ layer, head }, i) => ({ part: 'head', layer, head, value: found.heads[i] })),
          ...Array.from(found.attentionBias, (value, layer) => ({ part: 'attention bias', layer, head: '', value })),
          ...Array.from(found.mlp, (value, layer) => ({ part: 'mlp', layer, head: '', value })),
          ...(edited ? [{ part: 'edits', layer: '', head: '', value: found.logit - found.total }] : []),
        ];
        const size = ({ value }: CsvRow) => Math.abs(value as number);
        const largest = [...parts].sort((a, b) => size(b) - size(a)).slice(0, options.top);
        const nameOf = ({ part, layer, head }: CsvRow) =>
          part === 'head'
            ? `head ${headName({ layer: Number(layer), head: Number(head) })}`
            : `${part} ${layer}`.trim();
        context.print(`${name}: ${short(found.logit)}`);
        context.print(
          table(
            ['part', 'adds', ''],
            largest.map((part) => [nameOf(part), short(part.value as number), '']),
          ),
        );
        await writeResults(context, options, {
          json: {
            ...tokens,
            ...found,
            heads: Array.from(found.heads),
            attentionBias: Array.from(found.attentionBias),
            mlp: Array.from(found.mlp),
          },
          rows: parts,
          plot: () =>
            attributionChart(found, {
              title: `What adds to the ${name}`,
              subtitle: edited
                ? `Position ${found.position}; the parts add up to ${short(found.total)} of ${short(found.logit)}, edits of the residual stream to the rest.`
                : `Position ${found.position}; all parts add up to ${short(found.total)}.`,
            }),
        });
      }),
    );
};
