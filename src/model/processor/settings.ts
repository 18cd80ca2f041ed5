// What preprocessor_config.json, video_preprocessor_config.json and their nested forms may say, as far as kinds share it.

import { quoteValue } from '../../base/quote.ts';
import * as s from '../../base/schema.ts';
import { ConfigError } from '../errors.ts';
import type { Colour, Scaling } from './pixels.ts';
import { type Filter, filterNames } from './resample.ts';

/** A JSON object of settings, and where it is from, for errors. */
export interface Settings {
  readonly json: unknown;
  readonly file: string;
}

export const side = s.int(1, 16384);
const box = s.strictObject({ height: side, width: side });
const pair = s.pipe(
  s.tuple([side, side]),
  s.transform(([height, width]) => ({ height, width })),
);
/** A number is the shortest edge in every class that is supported. */
export const sizeSchema = s.union(
  [
    box,
    s.pipe(
      s.strictObject({ shortest_edge: side, longest_edge: s.nullish(side) }),
      s.transform((size) => ({ shortestEdge: size.shortest_edge, longestEdge: size.longest_edge ?? undefined })),
    ),
    s.pipe(
      s.strictObject({ max_height: side, max_width: side }),
      s.transform((size) => ({ maxHeight: size.max_height, maxWidth: size.max_width })),
    ),
    pair,
    s.pipe(
      side,
      s.transform((shortestEdge) => ({ shortestEdge })),
    ),
  ],
  'supported: {"shortest_edge": n}, with or without "longest_edge", {"height": n, "width": n}, {"max_height": n, "max_width": n}, with sides from 1 to 16384',
);
const square = s.pipe(
  side,
  s.transform((n) => ({ height: n, width: n })),
);
export const cropSchema = s.union(
  [box, pair, square],
  'supported: {"height": n, "width": n}, with sides from 1 to 16384',
);

const triple = s.tuple([s.number(), s.number(), s.number()]);
const alike = s.pipe(
  s.number(),
  s.transform((v): [number, number, number] => [v, v, v]),
);
const perChannel = s.union([triple, alike], 'expected three numbers, or one');

/** On or off, or the class's default where the file is silent. Null is off, as it is in HF. */
export const flag = s.pipe(
  s.nullish(s.boolean()),
  s.transform((on) => (on === null ? false : on)),
);

/** Settings that every kind has. Whatever else is in the file has no effect in HF either. But for flags, null means the default. */
export const commonSettings = {
  image_processor_type: s.nullish(s.string()),
  feature_extractor_type: s.nullish(s.string()),
  video_processor_type: s.nullish(s.string()),
  do_resize: flag,
  resample: s.nullish(s.int(0, 5)),
  do_rescale: flag,
  rescale_factor: s.nullish(s.positive()),
  do_normalize: flag,
  image_mean: s.nullish(perChannel),
  image_std: s.nullish(perChannel),
  data_format: s.nullish(s.string()),
};

const commonSchema = s.object(commonSettings);
type CommonSettings = s.InferOutput<typeof commonSchema>;

export interface Statistics {
  readonly mean: Colour;
  readonly std: Colour;
}

/** OPENAI_CLIP_MEAN and OPENAI_CLIP_STD. */
export const clipStatistics: Statistics = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
/** IMAGENET_STANDARD_MEAN and IMAGENET_STANDARD_STD. */
export const siglipStatistics: Statistics = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

/** Filter, rescaling and normalisation; what is not supported is added to `problems`. */
export function parsePixels(raw: CommonSettings, defaults: Statistics, problems: string[]) {
  if (raw.data_format != null && raw.data_format !== 'channels_first')
    problems.push(`data_format ${quoteValue(raw.data_format)} is not supported; supported: "channels_first"`);
  const mean: Colour = raw.image_mean ?? defaults.mean;
  const std: Colour = raw.image_std ?? defaults.std;
  if (std.includes(0)) problems.push('image_std: 0 cannot be divided by');
  const filter: Filter = filterNames[raw.resample ?? 3];
  const scaling: Scaling = {
    rescaleFactor: (raw.do_rescale ?? true) ? (raw.rescale_factor ?? 1 / 255) : undefined,
    normalize: (raw.do_normalize ?? true) ? { mean, std } : undefined,
  };
  return { filter, scaling, meanColour: meanColourOf(mean) };
}

/** What HF pads with: Python's int() of a share of 255. */
export const meanColourOf = (mean: Colour): Colour => [
  Math.trunc(mean[0] * 255),
  Math.trunc(mean[1] * 255),
  Math.trunc(mean[2] * 255),
];

/**
 * The HF class of an image processor without its suffix (`Fast`, `Pil`), if it is one of those that are supported here; the
 * first one where the file names none.
 */
export function classOf(raw: CommonSettings, supported: readonly string[], problems: string[]): string {
  const named = raw.image_processor_type ?? raw.feature_extractor_type ?? supported[0];
  const found = supported.find((type) => type === named.replace(/(Fast|Pil)$/, ''));
  const legacy = supported.find((type) => type.replace('ImageProcessor', 'FeatureExtractor') === named);
  if (!found && !legacy)
    problems.push(`image_processor_type ${quoteValue(named)} is not supported; supported: ${supported.join(', ')}`);
  return found ?? legacy ?? supported[0];
}

export function throwIfAny(problems: readonly string[], file: string): void {
  if (problems.length) throw new ConfigError(`${file}: ${problems.join('; ')}`);
}
