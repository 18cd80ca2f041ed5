// What a checkpoint is and takes, by its config.json and the headers of its files.

import { type Checkpoint, hasWeights, openCheckpoint } from '../../checkpoint/checkpoint-files.ts';
import { checkSpecs } from '../../checkpoint/specs.ts';
import type { Capabilities } from '../../gpu/capabilities.ts';
import { f32 } from '../../gpu/formats/f32.ts';
import { type FormatName, formats } from '../../gpu/formats/index.ts';
import type { Folder } from '../../platform/types.ts';
import type { Architecture } from '../families/family.ts';
import type { VisualShape } from '../input.ts';
import { type CacheFormat, KvCache } from '../layers/kv-cache.ts';
import { unreadTensors, weightSpecs } from '../load-model.ts';
import type { Model } from '../model.ts';
import type { Size } from '../processor/anyres.ts';
import { ProcessorFiles } from '../processor/visual-processor.ts';
import type { WeightsChoice } from '../weight-formats.ts';
import { bindable, type Check, checkAdapter } from './adapter-fit.ts';
import { dryModel, pricePrefill, type RunPrice } from './dry-run.ts';
import { configFormat, type FormatOf, priceWeights, storedFormat, type WeightsPrice } from './price.ts';

/** What is priced. */
export interface InspectOptions {
  /** Formats that matrices are to have on the GPU; default as they are stored. */
  readonly weights?: WeightsChoice;
  readonly kvCache?: CacheFormat;
  /** Pictures, each of which is priced beside `textTokens`; default one of 640x480, where the model takes pictures. */
  readonly images?: readonly Size[];
  readonly textTokens: number;
  /** Positions of the key/value cache; default all that the model has. */
  readonly length?: number;
  /** The format of a config.json without weights; default the one that it names, or f32. */
  readonly dtype?: FormatName;
  /** Whose kernels run, and whose limits are checked. */
  readonly adapter?: Capabilities;
  /** Bytes that the adapter can use, where that is known. */
  readonly memory?: number;
}

/** A run that was priced, with what it is called. */
export interface PricedRun {
  readonly name: string;
  readonly price: RunPrice;
}

/** What a checkpoint takes. */
export interface Inspection {
  /** The files; absent where there are no weights yet. */
  readonly checkpoint?: Checkpoint;
  /** Where there are none, how they were priced: the format, and who says so. */
  readonly assumed?: { readonly format: string; readonly by: '--dtype' | 'config.json' | undefined };
  /** Tensors of the files that the model does not read. */
  readonly unread: ReturnType<typeof checkSpecs>;
  readonly weights: WeightsPrice;
  /** Without weights. */
  readonly model: Model;
  readonly cacheFormat: CacheFormat;
  readonly length: number;
  /** Of the key/value cache at `length` positions. */
  readonly cacheBytes: number;
  /** Whether preprocessor_config.json is there. */
  readonly knowsPictures: boolean;
  readonly shapes: readonly { readonly size: Size; readonly shape: VisualShape }[];
  readonly runs: readonly PricedRun[];
  /** Of the adapter; absent without one. */
  readonly checks?: readonly Check[];
}

const usual: Size = { width: 640, height: 480 };

/**
 * Prices a checkpoint: nothing but config.json, settings and headers is read.
 * @param json its config.json, which `config` is of.
 * @throws CheckpointError for tensors that are missing or of another shape.
 */
export async function inspectCheckpoint(
  folder: Folder,
  json: unknown,
  config: Architecture,
  { weights: choice, kvCache, images, textTokens, length, dtype, adapter, memory }: InspectOptions,
): Promise<Inspection> {
  const stored = await storage(folder, config, json, dtype);
  const weights = priceWeights(config, stored.formatOf, adapter && bindable(adapter), choice);
  const model = dryModel(config, stored.formatOf, adapter, choice, kvCache);
  const preprocessor = (await ProcessorFiles.read(folder)).imageIfThere;
  const shapes = (config.vision ? (images ?? [usual]) : []).map((size) => ({
    size,
    shape: config.vision!.imageShape(size, preprocessor ?? { json: {}, file: 'preprocessor_config.json' }),
  }));
  const priceRun = (name: string, shape?: VisualShape): PricedRun => ({
    name,
    price: pricePrefill(model, textTokens, shape),
  });
  const text = `${textTokens} tokens of text`;
  const runs = shapes.length
    ? shapes.map(({ size, shape }) => priceRun(`image of ${size.width}x${size.height}, ${text}`, shape))
    : [priceRun(text)];
  const { cacheFormat } = model;
  const positions = length ?? config.text.maxPositions;
  const load = { weights, text: config.text, length: positions, cacheFormat, runs };
  return {
    checkpoint: stored.checkpoint,
    assumed: stored.assumed,
    unread: stored.unread,
    ...{ weights, model, cacheFormat, shapes, runs },
    length: positions,
    cacheBytes: KvCache.price(config.text, positions, cacheFormat),
    knowsPictures: preprocessor !== undefined,
    checks: adapter && checkAdapter(load, adapter, memory),
  };
}

interface Storage extends Pick<Inspection, 'checkpoint' | 'assumed' | 'unread'> {
  readonly formatOf: FormatOf;
}

/** In what precision the weights are stored: by the files' headers, or else by config.json or the caller. */
async function storage(folder: Folder, config: Architecture, json: unknown, dtype?: FormatName): Promise<Storage> {
  if (!(await hasWeights(folder))) {
    const named = configFormat(json);
    const format = dtype ? formats[dtype] : (named ?? f32);
    const by = dtype ? '--dtype' : named ? 'config.json' : undefined;
    return { formatOf: () => format, assumed: { format: format.name, by }, unread: [] };
  }
  const checkpoint = await openCheckpoint(folder);
  const unread = checkSpecs(checkpoint, weightSpecs(config), unreadTensors(config));
  return { checkpoint, formatOf: storedFormat(checkpoint), unread };
}
