import { Option } from 'commander';
import { type LensRow, logitLens } from '../analysis/logit-lens.ts';
import { positionTexts, tokenText } from '../analysis/token-text.ts';
import { percent } from '../base/format.ts';
import { textGrid } from '../charts/text-grid.ts';
import { type PosSlice, resolvePosSlice } from '../model/interventions/positions.ts';
import { firstToken, type OutputOptions, withOutputOptions, withProgress, writeResults } from './analysis.ts';
import { position } from './capture.ts';
import type { Register } from './command.ts';
import type { CsvRow } from './csv.ts';
import { collect, integer } from './model.ts';
import { openPrompt, type PromptOptions, withPromptOptions } from './prompt.ts';
import { table } from './table.ts';

interface Options extends PromptOptions, OutputOptions {
  pos: PosSlice;
  top: number;
  token?: string[];
}

/** More columns than a figure holds. */
const mostColumns = 60;

export const lensCommand: Register = (program, run) => {
  withOutputOptions(withPromptOptions(program.command('lens')))
    .description('Show what each layer’s residual stream would say next, at any positions (the logit lens).')
    .addOption(
      new Option('--pos <position>', 'which positions: last, a number (negative from the end), or start:end; : for all')
        .argParser(position)
        .default(-1, 'last'),
    )
    .option('--top <k>', 'how many of the likeliest tokens to show for each layer and position', integer(1), 5)
    .option(
      '--token <text>',
      'also show the probability and rank of an answer’s first token; give it again for several',
      collect,
    )
    .addHelpText(
      'after',
      `
Image tokens are positions like others: image 3,5 is the patch in row 3, column 5, counted from 0.
Examples:
  headlight lens --image scene.png --prompt 'What is in the image?' --token red --token blue
  headlight lens --image scene.png --prompt 'What is in the image?' --pos -12: --out lens.png
  headlight lens --image scene.png --prompt 'Count.' --pos : --top 1 --csv lens.csv
  headlight lens --image scene.png --prompt 'Count.' --edits edits.json   # [{"at": "blocks.3.attn.hook_z", "heads": [5], "set": 0}]`,
    )
    .action(
      run<Options>(async (context, options) => {
        const { model, input } = await openPrompt(context, options);
        const { tokenizer } = model.processor;
        const { start, end } = resolvePosSlice(options.pos, input.inputIds.length);
        const tokens = (options.token ?? []).map((text) => firstToken(context, model, text));
        const rows = await withProgress(context, 'logit lens', (progress) =>
          logitLens(model, input, { posSlice: [start, end], k: options.top, tokens, ...progress }),
        );
        const text = (id: number) => tokenText(tokenizer, id);
        const places = positionTexts(tokenizer, model.config, input);
        const seen = (row: LensRow) => row.top.map(({ id, probability }) => `${text(id)} ${percent(probability)}`);
        const asked = (row: LensRow) =>
          row.tokens.map(({ probability, rank }) => `${percent(probability)} (${rank + 1}.)`);
        if (end - start <= 4)
          context.print(
            table(
              ['layer', 'position', ...tokens.map((id) => text(id)), 'likeliest'],
              rows.map((row) => [
                `${row.layer}`,
                `${row.position} ${places[row.position]}`,
                ...asked(row),
                seen(row).join('  '),
              ]),
            ),
          );
        else context.print(`${rows.length} layers x positions: see --out, --csv or --json`);
        await writeResults(context, options, {
          json: {
            rows: rows.map((row) => ({
              ...row,
              text: places[row.position],
              top: row.top.map((t) => ({ ...t, text: text(t.id) })),
              tokens: row.tokens.map((t) => ({ ...t, text: text(t.id) })),
            })),
          },
          rows: rows.flatMap((row) =>
            [...row.top, ...row.tokens].map(
              ({ id, logit, probability, rank }): CsvRow => ({
                layer: row.layer,
                position: row.position,
                at: places[row.position],
                rank: rank + 1,
                token: text(id),
                id,
                logit,
                probability,
                entropy: row.entropy,
              }),
            ),
          ),
          plot: () => {
            if (end - start > mostColumns)
              context.note(
                `the plot shows the last ${mostColumns} of ${end - start} positions: choose others by --pos`,
              );
            return plot(
              rows.filter((row) => row.position >= end - mostColumns),
              places,
              text,
            );
          },
        });
      }),
    );
};

/** The first layer on top, as in every other plot. */
function plot(rows: readonly LensRow[], places: readonly string[], text: (id: number) => string): Promise<string> {
  const layers = [...new Set(rows.map((row) => row.layer))];
  const positions = rows.filter((row) => row.layer === layers[0]).map((row) => row.position);
  return textGrid({
    title: 'Logit lens',
    subtitle: 'The likeliest next token were each layer the last. Beneath: the token that stands at each position.',
    values: rows.map((row) => row.top[0].probability),
    texts: rows.map((row) => text(row.top[0].id)),
    rows: { title: 'after layer', labels: layers.map(String) },
    columns: { title: 'position', labels: positions.map((p) => `${p} ${places[p]}`) },
    legend: 'probability',
    scale: 'sequential',
  });
}
