import { type Pair, type Patching, patchHeads, patchResidual } from '../analysis/patching.ts';
import { topK } from '../analysis/rank.ts';
import { positionTexts, tokenText } from '../analysis/token-text.ts';
import { percent } from '../base/format.ts';
import { allHeads, headName } from '../base/heads.ts';
import { heatMap } from '../charts/heat-map.ts';
import { type PosSlice, resolvePosSlice } from '../model/interventions/positions.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import {
  likeliest,
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
import { position } from './capture.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import type { CsvRow } from './csv.ts';
import { oneOf } from './data.ts';
import { collect } from './model.ts';
import { openPrompt, type PromptOptions, readPictures, withPromptOptions } from './prompt.ts';
import { table } from './table.ts';

interface Options extends PromptOptions, OutputOptions, TargetOptions {
  corruptedImage?: string[];
  corruptedPrompt?: string;
  what: 'residual' | 'heads';
  pos?: PosSlice;
}

export const patchCommand: Register = (program, run) => {
  withOutputOptions(withTargetOptions(withPromptOptions(program.command('patch'))))
    .description('Find which activations of a clean run restore its answer in a corrupted run (activation patching).')
    .option(
      '--corrupted-image <file>',
      'an image of the corrupted prompt; give it again for several (default: those of the clean one)',
      collect,
    )
    .option(
      '--corrupted-prompt <text>',
      'the question of the corrupted prompt, of as many tokens (default: that of the clean one)',
    )
    .option(
      '--what <kind>',
      'what is patched: residual, the stream before each layer, position by position; heads, each head’s output at the last position',
      oneOf('residual', 'heads'),
      'residual',
    )
    .option('--pos <position>', 'with --what residual: which positions, start:end or a number (default: all)', position)
    .addHelpText(
      'after',
      `
0 is the corrupted run's answer, 1 the clean run's. Without --against, the answer is measured against the token that the
corrupted run finds likeliest, where that is another one.
Examples:
  headlight patch --image warm.png --corrupted-image cool.png --prompt 'Warm or cool?' --token warm --against cool --out patch.png
  headlight patch --image a.png --prompt 'Is it red?' --corrupted-prompt 'Is it blue?' --what heads`,
    )
    .action(
      run<Options>(async (context, options) => {
        if (options.corruptedImage === undefined && options.corruptedPrompt === undefined)
          throw new UsageError('give --corrupted-image or --corrupted-prompt: what the clean prompt is compared with');
        if (options.what === 'heads' && options.pos !== undefined)
          throw new UsageError('--pos is of the residual stream; heads are patched at the last position');
        const pictures = await readPictures({ image: options.corruptedImage ?? options.image, video: options.video });
        const { model, input: clean } = await openPrompt(context, options);
        const corrupted = await model.input({
          ...pictures,
          prompt: options.corruptedPrompt ?? options.prompt,
          raw: options.rawPrompt,
        });
        const pair = { clean, corrupted };
        const asked = await readTarget(context, model, clean, options);
        const { target, name } = await against(context, model, pair, options, asked);
        const found = await (options.what === 'heads' ? byHead : byPosition)(context, model, pair, target, options.pos);
        const { result, rows, map, cell } = found;
        context.print(`${name}: clean ${short(result.clean)}, corrupted ${short(result.corrupted)}`);
        const best = topK(result.restored, 10);
        context.print(
          table(
            ['patched', 'restores', name],
            best.map((i) => [cell(i), percent(result.restored[i]), short(result.values[i])]),
          ),
        );
        await writeResults(context, options, {
          json: {
            target: name,
            clean: result.clean,
            corrupted: result.corrupted,
            patches: rows,
          },
          rows,
          plot: () =>
            heatMap({
              title:
                options.what === 'heads' ? 'Patched head outputs, at the last position' : 'Patched residual stream',
              subtitle: `${name}: 0 is the corrupted run (${short(result.corrupted)}), 1 the clean run (${short(result.clean)}).`,
              values: result.restored,
              legend: 'restored',
              scale: 'diverging',
              ...map,
            }),
        });
      }),
    );
};

type Asked = Awaited<ReturnType<typeof readTarget>>;

/** Measures against the corrupted run's own answer, unless something else was asked for. */
async function against(
  context: Context,
  model: VisionLanguageModel,
  { corrupted }: Pair,
  options: Options,
  asked: Asked,
): Promise<Asked> {
  if (options.against !== undefined || options.logProbability) return asked;
  const other = await likeliest(model, corrupted);
  if (other === asked.target.token) {
    context.note(
      'both runs find the same token likeliest: its logit alone is measured; --against says what to compare with',
    );
    return asked;
  }
  const text = tokenText(model.processor.tokenizer, other);
  context.note(`measured against “${text}”, the corrupted run’s answer`);
  return { ...asked, target: { ...asked.target, against: other }, name: `${asked.name} less “${text}”` };
}

interface Found {
  readonly result: Patching;
  readonly rows: CsvRow[];
  readonly map: Pick<Parameters<typeof heatMap>[0], 'rows' | 'columns'>;
  readonly cell: (i: number) => string;
}

type Run = (
  context: Context,
  model: VisionLanguageModel,
  pair: Pair,
  target: Asked['target'],
  pos: PosSlice | undefined,
) => Promise<Found>;

const byPosition: Run = async (context, model, pair, target, pos) => {
  const { length } = pair.clean.inputIds;
  const { start, end } = resolvePosSlice(pos, length);
  const positions = Array.from({ length: end - start }, (_, i) => start + i);
  const result = await withProgress(context, 'patching', (progress) =>
    patchResidual(model, pair, target, { positions, ...progress }),
  );
  const texts = positionTexts(model.processor.tokenizer, model.config, pair.clean);
  const place = (i: number) => ({
    layer: result.layers[Math.floor(i / positions.length)],
    position: positions[i % positions.length],
  });
  return {
    result,
    rows: Array.from(result.values, (value, i): CsvRow => {
      const { layer, position: p } = place(i);
      return { layer, position: p, at: texts[p], value, restored: result.restored[i] };
    }),
    map: {
      rows: { title: 'before layer', labels: result.layers.map(String) },
      columns: { title: 'position', labels: positions.map((p) => `${p} ${texts[p]}`) },
    },
    cell: (i) => `layer ${place(i).layer}, ${place(i).position} ${texts[place(i).position]}`,
  };
};

const byHead: Run = async (context, model, pair, target) => {
  const { text } = model.config;
  const result = await withProgress(context, 'patching', (progress) => patchHeads(model, pair, target, progress));
  const heads = allHeads(text);
  return {
    result,
    rows: heads.map(
      ({ layer, head }, i): CsvRow => ({ layer, head, value: result.values[i], restored: result.restored[i] }),
    ),
    map: {
      rows: { title: 'layer', labels: numbers(text.nLayers) },
      columns: { title: 'head', labels: numbers(text.nHeads) },
    },
    cell: (i) => `head ${headName(heads[i])}`,
  };
};
