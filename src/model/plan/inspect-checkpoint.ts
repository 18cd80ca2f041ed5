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
import type { Settings } from '../processor/settings.ts';
import { ProcessorFiles } from '../processor/visual-processor.ts';
import type { WeightsChoice } from '../weight-formats.ts';
import { bindable, type Check, checkAdapter } from './adapter-fit.ts';
import { dryModel, pricePrefill, type RunPrice } from './dry-run.ts';
import { configFormat, type FormatOf, priceWeights, storedFormat, type WeightsPrice } from './price.ts';

/** What the files of a checkpoint say, read once for all that is asked about them. */
export interface CheckpointFacts extends Pick<Inspection, 'checkpoint' | 'assumed' | 'unread' | 'knowsPictures'> {
  readonly config: Architecture;
  readonly formatOf: FormatOf;
  readonly preprocessor: Settings;
}

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
  readonly assumed?: { readonly format: string; readonly by: 'dtype' | 'config.json' | undefined };
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
 * Reads config.json's files, settings and headers, and nothing else.
 * @param json its config.json, which `config` is of.
 * @param dtype the format of a config.json without weights; default the one that it names, or f32.
 * @throws CheckpointError for tensors that are missing or of another shape.
 */
export async function readFacts(
  folder: Folder,
  json: unknown,
  config: Architecture,
  dtype?: FormatName,
): Promise<CheckpointFacts> {
  const preprocessor = (await ProcessorFiles.read(folder)).imageIfThere;
  const pictures = {
    knowsPictures: preprocessor !== undefined,
    preprocessor: preprocessor ?? { json: {}, file: 'preprocessor_config.json' },
  };
  if (!(await hasWeights(folder))) {
    const named = configFormat(json);
    const format = dtype ? formats[dtype] : (named ?? f32);
    const by = dtype ? 'dtype' : named ? 'config.json' : undefined;
    return { config, ...pictures, formatOf: () => format, assumed: { format: format.name, by }, unread: [] };
  }
  const checkpoint = await openCheckpoint(folder);
  const unread = checkSpecs(checkpoint, weightSpecs(config), unreadTensors(config));
  return { config, ...pictures, checkpoint, formatOf: storedFormat(checkpoint), unread };
}

/** Prices a checkpoint. Reads nothing. */
export function inspectCheckpoint(facts: CheckpointFacts, options: InspectOptions): Inspection {
  const { config, formatOf, preprocessor, checkpoint, assumed, unread, knowsPictures } = facts;
  const { weights: choice, kvCache, images = [usual], textTokens, adapter, memory } = options;
  const weights = priceWeights(config, formatOf, adapter && bindable(adapter), choice);
  const model = dryModel(config, formatOf, adapter, choice, kvCache);
  const shapes = (config.vision ? images : []).map((size) => ({
    size,
    shape: config.vision!.imageShape(size, preprocessor),
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
  const { length = config.text.maxPositions } = options;
  return {
    ...{ checkpoint, assumed, unread, knowsPictures, weights, model, cacheFormat, length, shapes, runs },
    cacheBytes: KvCache.price(config.text, length, cacheFormat),
    checks: adapter && checkAdapter({ weights, text: config.text, length, cacheFormat, runs }, adapter, memory),
  };
}
