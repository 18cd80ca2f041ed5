import type { LlavaConfig } from './config.ts';
import { InputError } from './errors.ts';

/** What a hook's shape depends on in one run. */
export interface RunSize {
  /** Positions of the language model that are returned, after `posSlice`. */
  readonly pos: number;
  /** Positions that can be attended to. */
  readonly keys: number;
  readonly images: number;
}

export interface HookPoint {
  readonly name: string;
  readonly shape: (size: RunSize) => number[];
  /** The decoder block that must have run for it: -1 before the first, nLayers after the last. */
  readonly layer: number;
}

/**
 * The table of DESIGN.md section 3 as data: every hook point of a model, in the order in which a run reaches them.
 * Names are TransformerLens's; counts and head sizes come from the config.
 */
export function hookPoints(config: LlavaConfig): HookPoint[] {
  const { text, vision } = config;
  const points: HookPoint[] = [];
  const add = (layer: number, name: string, shape: HookPoint['shape']) => points.push({ name, shape, layer });

  const classAndPatches = Math.floor(vision.imageSize / vision.patchSize) ** 2 + 1;
  const tower = (name: string, ...rest: number[]) => add(-1, name, ({ images }) => [images, classAndPatches, ...rest]);
  add(-1, 'vision.hook_embed', ({ images }) => [images, classAndPatches - 1, vision.dModel]);
  tower('vision.hook_full_embed', vision.dModel);
  tower('vision.hook_ln_pre', vision.dModel);
  for (let l = 0; l < vision.nLayers; l++) {
    const block = `vision.blocks.${l}.`;
    for (const name of ['hook_resid_pre', 'ln1.hook_normalized']) tower(block + name, vision.dModel);
    tower(`${block}ln1.hook_scale`, 1);
    for (const name of ['hook_q', 'hook_k', 'hook_v']) tower(`${block}attn.${name}`, vision.nHeads, vision.dHead);
    for (const name of ['hook_attn_scores', 'hook_pattern'])
      add(-1, `${block}attn.${name}`, ({ images }) => [images, vision.nHeads, classAndPatches, classAndPatches]);
    tower(`${block}attn.hook_z`, vision.nHeads, vision.dHead);
    tower(`${block}attn.hook_result`, vision.nHeads, vision.dModel);
    for (const name of ['hook_attn_out', 'hook_resid_mid', 'ln2.hook_normalized']) tower(block + name, vision.dModel);
    tower(`${block}ln2.hook_scale`, 1);
    for (const name of ['mlp.hook_pre', 'mlp.hook_post']) tower(block + name, vision.dMlp);
    for (const name of ['hook_mlp_out', 'hook_resid_post']) tower(block + name, vision.dModel);
  }
  const projector = (name: string, width: number) => add(-1, name, ({ images }) => [images, config.imageTokens, width]);
  projector('projector.hook_in', vision.dModel * config.featureLayers.length);
  projector('projector.hook_pre', text.dModel);
  projector('projector.hook_out', text.dModel);

  const lm = (layer: number, name: string, ...rest: number[]) => add(layer, name, ({ pos }) => [pos, ...rest]);
  lm(-1, 'hook_embed', text.dModel);
  lm(-1, 'hook_merged_embed', text.dModel);
  for (let l = 0; l < text.nLayers; l++) {
    const block = `blocks.${l}.`;
    for (const name of ['hook_resid_pre', 'ln1.hook_normalized']) lm(l, block + name, text.dModel);
    lm(l, `${block}ln1.hook_scale`, 1);
    lm(l, `${block}attn.hook_q`, text.nHeads, text.dHead);
    for (const name of ['hook_k', 'hook_v']) lm(l, `${block}attn.${name}`, text.nKvHeads, text.dHead);
    lm(l, `${block}attn.hook_rot_q`, text.nHeads, text.dHead);
    lm(l, `${block}attn.hook_rot_k`, text.nKvHeads, text.dHead);
    for (const name of ['hook_attn_scores', 'hook_pattern'])
      add(l, `${block}attn.${name}`, ({ pos, keys }) => [text.nHeads, pos, keys]);
    lm(l, `${block}attn.hook_z`, text.nHeads, text.dHead);
    lm(l, `${block}attn.hook_result`, text.nHeads, text.dModel);
    for (const name of ['hook_attn_out', 'hook_resid_mid', 'ln2.hook_normalized']) lm(l, block + name, text.dModel);
    lm(l, `${block}ln2.hook_scale`, 1);
    for (const name of ['mlp.hook_pre', 'mlp.hook_pre_linear', 'mlp.hook_post']) lm(l, block + name, text.dMlp);
    for (const name of ['hook_mlp_out', 'hook_resid_post']) lm(l, block + name, text.dModel);
  }
  lm(text.nLayers, 'ln_final.hook_normalized', text.dModel);
  lm(text.nLayers, 'ln_final.hook_scale', 1);
  lm(text.nLayers, 'logits', text.vocabSize);
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
  const wanted = new Set<HookPoint>();
  for (const pattern of patterns) {
    const regex = new RegExp(
      `^${pattern
        .split('*')
        .map((s) => s.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
        .join('.*')}$`,
    );
    const matches = points.filter((p) => regex.test(p.name));
    if (!matches.length)
      throw new InputError(
        `no hook point is named ${JSON.stringify(pattern)}; for example: ${points.at(-10)?.name}, blocks.*.attn.hook_z`,
      );
    for (const point of matches) wanted.add(point);
  }
  return points.filter((p) => wanted.has(p));
}
