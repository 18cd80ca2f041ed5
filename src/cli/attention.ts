import { type AttentionMap, attentionMaps } from '../analysis/attention-map.ts';
import type { PictureGrid } from '../analysis/positions.ts';
import { type DecoderRollout, decoderRollout, type Rollout, towerRollout } from '../analysis/rollout.ts';
import { positionTexts } from '../analysis/token-text.ts';
import { percent } from '../base/format.ts';
import { allHeads, headName } from '../base/heads.ts';
import { overlay, type Panel } from '../charts/overlay.ts';
import type { ModelInput } from '../model/input.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
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
import { oneOf } from './data.ts';
import { integer } from './model.ts';
import { openPrompt, type PromptOptions, withPromptOptions } from './prompt.ts';
import { table } from './table.ts';

interface Options extends PromptOptions, OutputOptions {
  heads?: HeadChoice;
  top: number;
  position: number;
  rollout?: 'decoder' | 'vision';
}

export const attentionCommand: Register = (program, run) => {
  withOutputOptions(withPromptOptions(program.command('attention')))
    .description(
      'Show where heads look in a picture: their attention over its patches, or its rollout over all layers.',
    )
    .option('--heads <list>', 'layer.head, separated by commas; 2.* for a layer; all (default: see --top)', headChoice)
    .option('--top <n>', 'without --heads: how many heads to show, those that look most at the picture', integer(1), 8)
    .addOption(positionOption('the position whose attention is shown'))
    .option(
      '--rollout <where>',
      'instead of single heads: attention rollout over the layers of the decoder, or of vision, the tower (default: off)',
      oneOf('decoder', 'vision'),
    )
    .addHelpText(
      'after',
      `
The plot shows the weights over the picture in grey, as the vision tower sees it (resized, and cropped where the processor
crops). The attention of a head adds up to 1: what does not go to the picture goes to text.
Examples:
  headlight attention --image scene.png --prompt 'What is in the image?' --out attention.png
  headlight attention --image scene.png --prompt 'Count.' --heads 2.0,3.* --csv attention.csv --out attention.svg
  headlight attention --image scene.png --prompt 'Count.' --rollout decoder --out rollout.png`,
    )
    .action(
      run<Options>(async (context, options) => {
        if (options.rollout && options.heads) throw new UsageError('--rollout is over all heads: leave --heads out');
        const { model, input } = await openPrompt(context, options);
        if (!input.visuals.length) throw new UsageError('there is no picture to look at: give --image or --video');
        if (options.rollout) await showRollout(context, model, input, options);
        else await showHeads(context, model, input, options);
      }),
    );
};

async function showHeads(context: Context, model: VisionLanguageModel, input: ModelInput, options: Options) {
  const { text } = model.config;
  const { heads = allHeads, position } = options;
  const found = await attentionMaps(model, input, { heads: heads(text), position });
  const { grids } = found;
  const maps = options.heads ? found.maps : mostOn(found.maps, options.top);
  const token = positionTexts(model.processor.tokenizer, model.config, input)[found.position];
  context.print(
    table(
      ['head', 'on pictures', 'most', 'where (row, column)'],
      maps.map((map) => {
        const peak = peakOf(map.grids, grids);
        return [headName(map), percent(map.share), percent(peak.value), peak.place];
      }),
    ),
  );
  await writeResults(context, options, {
    json: {
      position: found.position,
      token,
      grids: grids.map(gridJson),
      heads: maps.map((map) => ({ ...headCells(map), share: map.share, values: map.grids.map((v) => Array.from(v)) })),
    },
    rows: maps.flatMap((map) =>
      map.grids.flatMap((values, g) =>
        Array.from(
          values,
          (attention, i): CsvRow => ({ layer: map.layer, head: map.head, ...placeOf(grids[g], i), attention }),
        ),
      ),
    ),
    plot: () =>
      overlay({
        title: `Attention over the picture at position ${found.position}, “${token}”`,
        subtitle: `${options.heads ? 'Chosen heads' : 'The heads that look most at the picture'}; each with a scale of its own.`,
        panels: [
          ...grids.map((grid, g): Panel => ({ title: grids.length > 1 ? labelOf(grids, g) : 'the picture', grid })),
          ...maps.flatMap((map) =>
            grids.map((grid, g): Panel => {
              const where =
                grids.length > 1 ? `${labelOf(grids, g)}: ${percent(sum(map.grids[g]))}` : percent(map.share);
              return { title: `head ${headName(map)}, ${where} on it`, grid, values: map.grids[g] };
            }),
          ),
        ],
        columns: grids.length > 1 ? grids.length : 4,
        blackAndWhite: model.processor.blackAndWhite,
        legend: 'of attention',
      }),
  });
}

async function showRollout(context: Context, model: VisionLanguageModel, input: ModelInput, options: Options) {
  const { rollout } = options;
  const found = await withProgress<Rollout<PictureGrid> & Partial<Pick<DecoderRollout, 'share' | 'position'>>>(
    context,
    'attention rollout',
    (progress) =>
      rollout === 'vision'
        ? towerRollout(model, input, progress)
        : decoderRollout(model, input, { position: options.position, ...progress }),
  );
  const { grids, values, share, position } = found;
  const peak = peakOf(values, grids);
  if (share !== undefined) context.print(`from pictures: ${percent(share)}`);
  context.print(`most from: ${peak.place} (row, column), ${percent(peak.value)}`);
  await writeResults(context, options, {
    json: { rollout, position, share, grids: grids.map(gridJson), values: values.map((v) => Array.from(v)) },
    rows: values.flatMap((v, g) => Array.from(v, (weight, i): CsvRow => ({ ...placeOf(grids[g], i), weight }))),
    plot: () =>
      overlay({
        title: rollout === 'vision' ? 'Attention rollout of the vision tower' : 'Attention rollout of the decoder',
        subtitle:
          'How much of the output stems from each patch, by the mean attention of all heads and the residual stream, layer by layer (Abnar and Zuidema 2020).',
        panels: grids.flatMap((grid, g): Panel[] => [
          { title: grids.length > 1 ? labelOf(grids, g) : 'the picture', grid },
          // Of a tower each crop's output stems from that crop alone.
          {
            title: share === undefined ? 'what its output stems from' : `${percent(sum(values[g]))} stems from it`,
            grid,
            values: values[g],
          },
        ]),
        columns: 4,
        blackAndWhite: model.processor.blackAndWhite,
        legend: 'of the output',
      }),
  });
}

const mostOn = (maps: readonly AttentionMap[], count: number): AttentionMap[] =>
  [...maps].sort((a, b) => b.share - a.share).slice(0, count);

function peakOf(all: readonly Float32Array[], grids: readonly PictureGrid[]) {
  let best = { grid: 0, index: 0, value: Number.NEGATIVE_INFINITY };
  for (const [grid, values] of all.entries())
    for (const [index, value] of values.entries()) if (value > best.value) best = { grid, index, value };
  const { row, column } = placeOf(grids[best.grid], best.index);
  return { value: best.value, place: `${grids.length > 1 ? `${labelOf(grids, best.grid)} ` : ''}${row}, ${column}` };
}

/** A grid's label; of several pictures, with the picture's number. */
function labelOf(grids: readonly PictureGrid[], g: number): string {
  const several = new Set(grids.map(({ visual }) => visual)).size > 1;
  return several ? `picture ${grids[g].visual + 1}, ${grids[g].label}` : grids[g].label;
}

const sum = (values: Float32Array) => values.reduce((total, x) => total + x, 0);

const placeOf = ({ visual, label, columns }: PictureGrid, i: number) => ({
  visual,
  grid: label,
  row: Math.floor(i / columns),
  column: i % columns,
});

const gridJson = ({ visual, label, rows, columns }: PictureGrid) => ({ visual, label, rows, columns });
