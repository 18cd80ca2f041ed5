import { globMatcher } from '../../base/glob.ts';
import type { BlockShape } from '../config/block.ts';
import type { TextConfig } from '../config/text.ts';
import type { ViTConfig } from '../config/vit.ts';
import { tokensPerCrop } from '../config/vit.ts';
import { InputError } from '../errors.ts';

/** What a hook's shape depends on in one run. */
export interface RunSize {
  /** Positions of the language model that are returned, after `posSlice`. */
  readonly pos: number;
  /** Positions that can be attended to. */
  readonly keys: number;
  /** Crops of all images and videos: CLIP's and SigLIP's towers see squares. */
  readonly crops: number;
  /** Patches of all images and videos: Qwen2-VL's tower sees them in one row. */
  readonly patches: number;
  /** Texts of a dual encoder, of `pos` tokens each. */
  readonly texts?: number;
}

/** A place in a run whose activation can be read and changed. */
export interface HookPoint {
  /** TransformerLens’s name, for example `blocks.3.attn.hook_z`. */
  readonly name: string;
  /** The activation’s shape in a run of this size. */
  readonly shape: (size: RunSize) => number[];
  /** The decoder block that must have run for it: -1 before the first, nLayers after the last. */
  readonly layer: number;
}

/** Of the tower or the projector: what does not happen without a picture. */
export const isOfVisuals = ({ name }: Pick<HookPoint, 'name'>): boolean => /^(vision|projector)\./.test(name);

/** Of what comes before the decoder, and is the same for all that does not change it. */
export const isEarly = (point: Pick<HookPoint, 'name'>): boolean => isOfVisuals(point) || point.name === 'hook_embed';

/** What hook points of all layers have in common: `blocks.*.attn.hook_z`. */
export const hookKind = (name: string): string => name.replace(/\.\d+\./, '.*.');

/** What an `Architecture` has hook points of. */
interface Hooked {
  readonly text: TextConfig;
  readonly vision?: { readonly hookPoints: readonly HookPoint[] };
}

/**
 * The table of docs/hooks.md as data: every hook point of a model, in the order in which a run reaches them.
 * Names are TransformerLens's; counts and head sizes come from the config.
 */
export function hookPoints({ text, vision }: Hooked): HookPoint[] {
  const [embed, ...rest] = textHookPoints(text);
  return [embed, ...(vision?.hookPoints ?? []), ...rest];
}

function textHookPoints(text: TextConfig): HookPoint[] {
  const points: HookPoint[] = [];
  const lm = (layer: number, name: string, ...rest: number[]) =>
    points.push({ name, layer, shape: ({ pos }) => [pos, ...rest] });
  lm(-1, 'hook_embed', text.dModel);
  lm(-1, 'hook_merged_embed', text.dModel);
  for (let l = 0; l < text.nLayers; l++)
    points.push(
      ...blockHookPoints(
        `blocks.${l}.`,
        text,
        { layer: l, rotary: true },
        {
          rows: ({ pos }) => [pos],
          square: ({ pos, keys }) => [text.nHeads, pos, keys],
        },
      ),
    );
  lm(text.nLayers, 'ln_final.hook_scale', 1);
  lm(text.nLayers, 'ln_final.hook_normalized', text.dModel);
  lm(text.nLayers, 'logits', text.vocabSize);
  return points;
}

/** How the rows of a block's tensors, and its matrices of queries and keys, are shaped in a run. */
export interface BlockRows {
  readonly rows: (size: RunSize) => number[];
  readonly square: (size: RunSize) => number[];
}

/** The hook points of one block, of a decoder or a tower. */
export function blockHookPoints(
  prefix: string,
  shape: BlockShape,
  { layer, rotary }: { readonly layer: number; readonly rotary: boolean },
  { rows, square }: BlockRows,
): HookPoint[] {
  const { dModel, dMlp, nHeads, nKvHeads, dHead } = shape;
  const points: HookPoint[] = [];
  const add = (name: string, ...rest: number[]) =>
    points.push({ name: prefix + name, layer, shape: (size) => [...rows(size), ...rest] });
  add('hook_resid_pre', dModel);
  add('ln1.hook_scale', 1);
  add('ln1.hook_normalized', dModel);
  add('attn.hook_q', nHeads, dHead);
  for (const name of ['attn.hook_k', 'attn.hook_v']) add(name, nKvHeads, dHead);
  if (rotary) {
    add('attn.hook_rot_q', nHeads, dHead);
    add('attn.hook_rot_k', nKvHeads, dHead);
  }
  for (const name of ['attn.hook_attn_scores', 'attn.hook_pattern'])
    points.push({ name: prefix + name, layer, shape: square });
  add('attn.hook_z', nHeads, dHead);
  add('attn.hook_result', nHeads, dModel);
  for (const name of ['hook_attn_out', 'hook_resid_mid']) add(name, dModel);
  add('ln2.hook_scale', 1);
  add('ln2.hook_normalized', dModel);
  add('mlp.hook_pre', dMlp);
  if (shape.gated) add('mlp.hook_pre_linear', dMlp);
  add('mlp.hook_post', dMlp);
  for (const name of ['hook_mlp_out', 'hook_resid_post']) add(name, dModel);
  return points;
}

/** The hook points of CLIP's or SigLIP's tower. */
export function vitHookPoints(config: ViTConfig): HookPoint[] {
  const tokens = tokensPerCrop(config);
  const points: HookPoint[] = [];
  const tower = (name: string, perCrop: number, ...rest: number[]) =>
    points.push({ name, layer: -1, shape: ({ crops }) => [crops, perCrop, ...rest] });
  tower('vision.hook_embed', config.side ** 2, config.dModel);
  tower('vision.hook_full_embed', tokens, config.dModel);
  if (config.classToken) tower('vision.hook_ln_pre', tokens, config.dModel);
  for (let l = 0; l < config.nLayers; l++)
    points.push(
      ...blockHookPoints(
        `vision.blocks.${l}.`,
        config,
        { layer: -1, rotary: false },
        {
          rows: ({ crops }) => [crops, tokens],
          square: ({ crops }) => [crops, config.nHeads, tokens, tokens],
        },
      ),
    );
  return points;
}

/** A glob (`*` within and across name parts), an exact name, several of these, or a predicate. */
export type NamesFilter = string | readonly string[] | ((name: string) => boolean);

/**
 * The hook points that a filter asks for.
 * @throws InputError for a name or glob that matches nothing: a misspelt name must not look like an empty result.
 */
export function selectHooks(points: readonly HookPoint[], filter: NamesFilter): HookPoint[] {
  if (typeof filter === 'function') return points.filter((p) => filter(p.name));
  const patterns = typeof filter === 'string' ? [filter] : filter;
  if (!Array.isArray(patterns) || patterns.some((pattern) => typeof pattern !== 'string'))
    throw new InputError(
      'namesFilter: give a name or glob (blocks.*.attn.hook_z), a list of them, or a function of the name',
    );
  const wanted = new Set<HookPoint>();
  for (const pattern of patterns) {
    const matching = globMatcher(pattern);
    const matches = points.filter((p) => matching(p.name));
    if (!matches.length)
      throw new InputError(
        `no hook point is named ${JSON.stringify(pattern)}; for example: ${points.at(-10)?.name}, blocks.*.attn.hook_z`,
      );
    for (const point of matches) wanted.add(point);
  }
  return points.filter((p) => wanted.has(p));
}
