import * as s from '../../base/schema.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import { Settings } from '../config/settings.ts';
import { parseTextTower, type TextTowerConfig } from '../config/text-tower.ts';
import { parseViT, type ViTConfig } from '../config/vit.ts';
import { blockHookPoints, type HookPoint, vitHookPoints } from '../interventions/hook-points.ts';
import type { Hooks } from '../interventions/hooks.ts';
import type { Mask } from '../layers/block-run.ts';
import type { TextBatch } from '../layers/text-tower.ts';
import type { Linear, WeightSource } from '../layers/weights.ts';

/** A kind of dual encoder: all in which CLIP and SigLIP differ beyond the sizes of their towers. */
export interface DualFamily {
  /** As people call it. */
  readonly name: string;
  /** config.json's `model_type`; the towers' are this with `_text_model` and `_vision_model` behind it. */
  readonly modelType: 'clip' | 'siglip';
  /** The class in transformers. */
  readonly className: string;
  /** The class of the image processor, where its file names none. */
  readonly imageProcessor: 'CLIPImageProcessor' | 'SiglipImageProcessor';
  /** A text as the tokenizer is given it. */
  writtenAs(text: string): string;
  /** Which tokens of a text a token sees. */
  readonly textMask: Mask;
  /** Every text is filled up to the tower's positions with the padding token, which attention sees like any other. */
  readonly padsTexts: boolean;
  /** The logits have a bias. */
  readonly hasLogitBias: boolean;
  /** The shape under which `logit_scale` is stored. */
  readonly scaleShape: readonly number[];
  /** Width of the embeddings, once the towers are read. @param projectionDim config.json's own, 512 by default. */
  embeddingSize(towers: Towers, projectionDim: number, settings: Settings): number;
  /** Arranges texts for one run. @throws InputError for texts whose vector this family could not read. */
  arrange(texts: readonly ArrayLike<number>[], config: TextTowerConfig): TextBatch;
  /** From a text's pooled state to its embedding. */
  textHead(config: DualEncoderConfig, source: WeightSource): Linear;
  /** From the image tower's last hidden state to the embeddings. */
  imageHead(config: DualEncoderConfig, source: WeightSource): ImageHead;
  /** Of the image head. */
  headHookPoints(vision: ViTConfig): HookPoint[];
}

/** @param x [images * tokens, dModel]; @returns [images, embeddingSize] */
export type ImageHead = (rec: Recorder, x: Tensor, images: number, hooks: Hooks) => Tensor;

interface Towers {
  readonly vision: ViTConfig;
  readonly text: TextTowerConfig;
}

/** What the config.json of a CLIP or SigLIP describes. */
export interface DualEncoderConfig extends Towers {
  readonly family: DualFamily;
  /** Width of the space that images and texts share. */
  readonly embeddingSize: number;
}

const part = s.nullish(s.looseObject({}));
const schema = s.looseObject({
  text_config: part,
  vision_config: part,
  // CLIP's before transformers 4.27; where a file has both, HF takes these.
  text_config_dict: part,
  vision_config_dict: part,
  projection_dim: s.optional(s.int(1, 1_000_000), 512),
  quantization_config: s.optional(s.unknown()),
});

/** Reads the config.json of one family. @throws ConfigError naming every setting that is wrong, all at once. */
export function parseDual(family: DualFamily, json: unknown, file: string): DualEncoderConfig {
  const settings = new Settings(file);
  const raw = settings.read(schema, json);
  settings.unquantised(raw, '');
  const { modelType } = family;
  const text = raw.text_config_dict ?? raw.text_config ?? {};
  const vision = raw.vision_config_dict ?? raw.vision_config ?? {};
  const towers = {
    text: parseTextTower(settings, text, 'text_config', `${modelType}_text_model`),
    vision: parseViT(settings, vision, 'vision_config', `${modelType}_vision_model`),
  };
  if (towers.vision.modelType !== `${modelType}_vision_model`)
    settings.problem(`vision_config.model_type: expected "${modelType}_vision_model" in a ${family.name}`);
  const embeddingSize = family.embeddingSize(towers, raw.projection_dim, settings);
  settings.finish();
  return { family, ...towers, embeddingSize };
}

/** Every hook point of both towers and of what stands between them and the embeddings, in the order of a run. */
export function dualHookPoints({ family, vision, text }: DualEncoderConfig): HookPoint[] {
  const points = [...vitHookPoints(vision), ...family.headHookPoints(vision)];
  const texts = (name: string, width: number) =>
    points.push({ name, layer: -1, shape: ({ texts = 0, pos }) => [texts, pos, width] });
  texts('text.hook_embed', text.dModel);
  texts('text.hook_full_embed', text.dModel);
  for (let l = 0; l < text.nLayers; l++) {
    const rows = {
      rows: ({ texts = 0, pos }) => [texts, pos],
      square: ({ texts = 0, pos }) => [texts, text.nHeads, pos, pos],
    } satisfies Parameters<typeof blockHookPoints>[3];
    points.push(...blockHookPoints(`text.blocks.${l}.`, text, { layer: -1, rotary: false }, rows));
  }
  texts('text.ln_final.hook_scale', 1);
  texts('text.ln_final.hook_normalized', text.dModel);
  return points;
}
