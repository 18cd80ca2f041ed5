import { totalmem } from 'node:os';
import { Option } from 'commander';
import { hasWeights } from '../checkpoint/checkpoint-files.ts';
import { layoutDescriptions } from '../checkpoint/names.ts';
import { adapterName, type Capabilities } from '../gpu/capabilities.ts';
import { type FormatName, formats } from '../gpu/formats/index.ts';
import { openCheckpointFolder } from '../hub/checkpoint-folder.ts';
import { requireJson } from '../model/config/json.ts';
import type { Architecture } from '../model/families/family.ts';
import { isDual, parseConfig } from '../model/families/index.ts';
import { describeGeneration } from '../model/generation/generation-report.ts';
import type { VisualShape } from '../model/input.ts';
import type { RunSize } from '../model/interventions/hook-points.ts';
import { type CacheFormat, checkCacheFormat, KvCache } from '../model/layers/kv-cache.ts';
import { readGenerationConfig } from '../model/load-model.ts';
import { type Check, showBytes } from '../model/plan/adapter-fit.ts';
import { imageTokens, type RunPrice } from '../model/plan/dry-run.ts';
import { type Inspection, inspectCheckpoint, readFacts } from '../model/plan/inspect-checkpoint.ts';
import type { Price, WeightsPrice } from '../model/plan/price.ts';
import type { Size } from '../model/processor/anyres.ts';
import { NoAdapterError } from '../platform/errors.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import { inspectEncoder } from './inspect-encoder.ts';
import { hookShapes, printHooks } from './inspect-hooks.ts';
import { imageSize, integer, type ModelOptions, withCacheOption, withModelOptions } from './model.ts';

interface InspectOptions extends ModelOptions {
  imageSize?: Size[];
  textTokens: number;
  length?: number;
  dtype?: FormatName;
  hooks?: true;
}

export const inspectCommand: Register = (program, run) => {
  withCacheOption(withModelOptions(program.command('inspect')))
    .description(
      'Show what a checkpoint is and takes: architecture, parameters, memory, image tokens, and whether this adapter suffices.\nReads config.json and headers only; config.json alone will do.',
    )
    .option(
      '--image-size <WxH>',
      'price images of this size, in pixels; give it again for several (default: 640x480)',
      sizes,
    )
    .option('--text-tokens <n>', 'how many tokens of text stand beside an image', integer(1), 128)
    .option(
      '--length <n>',
      'how many positions the key/value cache has, in tokens (default: as many as the model has)',
      integer(1),
    )
    .option('--hooks', "list the model's hook points and their shapes in the first prompt below (default: off)")
    .addOption(
      new Option(
        '--dtype <dtype>',
        'price a config.json without weights at this format (default: the one that it names, or f32)',
      ).choices(Object.keys(formats)),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  headlight inspect --hooks\n  headlight inspect --model ~/models/llava-1.5-7b-hf\n  headlight inspect --model ~/models/qwen2-vl-7b --image-size 1920x1080 --length 4096',
    )
    .action(run(inspect));
};

async function inspect(context: Context, options: InspectOptions): Promise<void> {
  const folder = await openCheckpointFolder(options.model);
  const json = await requireJson(folder, 'config.json');
  if (isDual(json)) {
    if (options.weights)
      throw new UsageError('--weights is of models that generate; an encoder’s stay as they are stored');
    if (options.kvCache) throw new UsageError('--kv-cache is of models that generate; an encoder has none');
    return inspectEncoder(context, folder, json, options);
  }
  const config = parseConfig(json, `${folder.location}/config.json`);
  const { text } = config;
  if (options.kvCache) checkCacheFormat(options.kvCache, text);
  const length = options.length ?? text.maxPositions;
  if (length > text.maxPositions)
    throw new UsageError(`--length ${length}: this model has ${text.maxPositions} positions`);
  if (options.imageSize && !config.vision) throw new UsageError('--image-size: this model takes no images');
  if (options.dtype && (await hasWeights(folder)))
    throw new UsageError(`--dtype: ${folder.location} has weights, which say it themselves`);
  const generation = describeGeneration(await readGenerationConfig(folder, json, config), text.vocabSize);
  const adapter = await adapterOf(context);
  const inspected = inspectCheckpoint(await readFacts(folder, json, config, options.dtype), {
    ...{ weights: options.weights, kvCache: options.kvCache },
    ...{ images: options.imageSize, textTokens: options.textTokens, length, adapter },
    // What a software adapter takes is the machine's own memory.
    memory: adapter?.software ? totalmem() : undefined,
  });
  const { checkpoint, weights, model, cacheFormat, shapes, runs, checks } = inspected;

  const rows: [string, string][] = [
    ['architecture', `${config.className} (${config.family})`],
    ...fileRows(inspected),
    ...weightRows(weights),
    ...unreadRows(inspected),
    [
      'decoder',
      `${text.modelType}, ${text.nLayers} layers, ${text.nHeads} heads of ${text.dHead} (${text.nKvHeads} key/value), width ${text.dModel}, vocabulary ${text.vocabSize}`,
    ],
    [
      'heads',
      `${text.nLayers * text.nHeads} candidates for SAVs; head vectors take ${text.nLayers * text.nHeads * text.dHead * 4} bytes an example`,
    ],
    ...(shapes.length && !inspected.knowsPictures ? [defaultsRow] : []),
    ...shapes.map(({ size, shape }): [string, string] => [
      `image of ${show(size)}`,
      `${imageTokens(config, shape)} tokens, shown as [${shape.shape.join(', ')}]`,
    ]),
    ...cacheRows(config, length, cacheFormat),
    ...runs.map(({ name, price }): [string, string] => ['prompt', runText(name, price)]),
    ['text', generation.text],
    ...adapterRows(adapter, checks),
  ];
  context.printFacts(rows);
  const hooks = options.hooks && hookShapes(model.hookPoints, sizeOf(runs[0].price.tokens, shapes[0]?.shape));
  if (hooks) printHooks(context, hooks);
  context.result({
    config: { ...config, vision: config.vision?.config },
    layout: checkpoint?.layout,
    files: checkpoint?.files ?? [],
    parameters: weights.parameters,
    parts: Object.fromEntries(weights.parts),
    dtypes: Object.fromEntries(weights.dtypes),
    bytes: checkpoint?.bytes ?? weights.storedBytes,
    gpuBytes: weights.gpuBytes,
    kvCache: {
      positions: length,
      format: cacheFormat,
      bytesPerPosition: KvCache.price(text, 1, cacheFormat),
      bytes: inspected.cacheBytes,
    },
    images: shapes.map(({ size, shape }) => ({ ...size, tokens: imageTokens(config, shape), shape: shape.shape })),
    prompts: runs.map(({ name, price }) => ({ name, ...price })),
    generation,
    adapter: adapter ?? null,
    checks: checks ?? null,
    ...(hooks && { hooks }),
  });
}

const defaultsRow: [string, string] = [
  'image processor',
  "preprocessor_config.json is not there yet; sizes of images are by transformers' defaults, which the checkpoint's may exceed",
];

/** Crops and patches are both a visual's rows. */
const sizeOf = (tokens: number, { shape: [count] }: VisualShape = { kind: 'image', shape: [0] }): RunSize => ({
  pos: tokens,
  keys: tokens,
  crops: count,
  patches: count,
});

function fileRows({ checkpoint, assumed }: Inspection): [string, string][] {
  if (assumed) {
    const by = { dtype: 'by --dtype', 'config.json': 'by config.json' };
    const why = assumed.by ? by[assumed.by] : 'which config.json does not name: see --dtype';
    return [['weights', `not there yet; priced at ${assumed.format}, ${why}`]];
  }
  const { layout, files, bytes } = checkpoint!;
  return [
    ['names', layout ? layoutDescriptions[layout] : 'canonical'],
    ['files', `${files.join(', ')} (${showBytes(bytes)})`],
  ];
}

function unreadRows({ unread }: Inspection): [string, string][] {
  if (!unread.length) return [];
  const bytes = unread.reduce((sum, { tensor }) => sum + tensor.end - tensor.start, 0);
  return [['  not read', `${showBytes(bytes)}: ${[...new Set(unread.map(({ why }) => why))].join('; ')}`]];
}

function weightRows({ parts, dtypes, ...total }: WeightsPrice): [string, string][] {
  const share = (n: number) => `${((100 * n) / total.parameters).toFixed(0)} %`;
  const row = (name: string, p: Price): [string, string] => [
    name,
    `${millions(p.parameters)}, ${showBytes(p.storedBytes)} stored, ${showBytes(p.gpuBytes)} on the GPU`,
  ];
  const [name, text] = row('parameters', total);
  return [
    [name, `${text}; ${[...dtypes].map(([dtype, n]) => `${dtype} ${share(n)}`).join(', ')}`],
    ...[...parts].map(([part, price]) => row(`  ${part}`, price)),
  ];
}

function cacheRows({ text }: Architecture, length: number, format: CacheFormat): [string, string][] {
  const bytesOf = (positions: number) => showBytes(KvCache.price(text, positions, format));
  const bytes = `${bytesOf(length)} at ${length} positions (${bytesOf(1)} each, ${format})`;
  const slides = text.windows.some((window) => window !== undefined);
  return [['key/value cache', slides ? `${bytes}; sliding windows do not make it smaller` : bytes]];
}

const runText = (name: string, { tokens, arenaBytes, dispatches }: RunPrice) =>
  `${name}: ${tokens} positions, ${showBytes(arenaBytes)} of activations, ${dispatches} dispatches`;

function adapterRows(adapter?: Capabilities, checks: readonly Check[] = []): [string, string][] {
  if (!adapter) return [['adapter', 'none was found: its limits were not checked']];
  const limits = `${showBytes(adapter.maxStorageBufferBindingSize)} a binding, ${showBytes(adapter.maxBufferSize)} a buffer`;
  return [
    ['adapter', `${adapterName(adapter)}: ${limits}`],
    ...checks.map(({ verdict, text }): [string, string] => [`  ${verdict}`, text]),
  ];
}

/** What this machine runs on, or undefined where WebGPU finds nothing. */
async function adapterOf(context: Context): Promise<Capabilities | undefined> {
  try {
    const gpu = await context.openGpu();
    gpu.dispose();
    return gpu.capabilities;
  } catch (e) {
    if (!(e instanceof NoAdapterError)) throw e;
    context.note(`no adapter: ${e.message}`);
    return undefined;
  }
}

const millions = (n: number) => `${(n / 1e6).toFixed(2)} M`;
const show = ({ width, height }: Size) => `${width}x${height}`;

/** For commander: gathers sizes. */
const sizes = (value: string, before: Size[] = []): Size[] => [...before, imageSize(value)];
