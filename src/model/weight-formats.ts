// In which format each matrix of a model is kept on the GPU, where that is not the one it is stored in.
import type { TensorSpec } from '../checkpoint/specs.ts';
import { isPacked } from '../checkpoint/stored-formats.ts';
import type { Format } from '../gpu/formats/format.ts';
import { matrixShape } from '../gpu/formats/format.ts';
import { type FormatName, formats } from '../gpu/formats/index.ts';
import { InputError } from './errors.ts';

/** The parts of a model whose formats are chosen apart, by the names of their tensors. */
const parts: Readonly<Record<WeightPart, RegExp>> = {
  tower: /^(vision_tower\.|visual\.(?!merger\.))/,
  projector: /^(multi_modal_projector\.|visual\.merger\.|image_newline$)/,
  embeddings: /^language_model\.embed_tokens\./,
  decoder: /^language_model\./,
  head: /^lm_head\./,
};

/** A part of a model that has weights of its own. Tied embeddings are the embeddings' part. */
export type WeightPart = 'tower' | 'projector' | 'embeddings' | 'decoder' | 'head';
export const weightParts = Object.keys(parts) as WeightPart[];

/** The part that a tensor belongs to, by its canonical name. */
export const partOf = (name: string): WeightPart => weightParts.find((part) => parts[part].test(name))!;

/**
 * The formats that a model's matrices are to have: one name for all, or one for each part that is not to be as it is stored. `q4` is
 * q4 in the decoder's blocks, where nearly all weights are, and q8 everywhere else.
 */
export type WeightsChoice = FormatName | { readonly [Part in WeightPart]?: FormatName };

/** The tower's first layer: few weights, of which each meets pixels. */
const patchEmbedding = /patch_embed/;

/** The chosen formats, part by part. @throws InputError for a part or a format that there is not. */
export function chosenFormats(choice: WeightsChoice): ReadonlyMap<WeightPart, Format> {
  const given =
    typeof choice === 'string' ? weightParts.map((part) => [part, choice] as const) : Object.entries(choice);
  const chosen = new Map<WeightPart, Format>();
  for (const [part, name] of given) {
    if (!Object.hasOwn(parts, part))
      throw new InputError(`weights: no part ${part}; there are ${weightParts.join(', ')}`);
    if (name === undefined) continue;
    if (!Object.hasOwn(formats, name))
      throw new InputError(`weights: no format ${name}; there are ${Object.keys(formats).join(', ')}`);
    const gentler = choice === 'q4' && part !== 'decoder';
    chosen.set(part as WeightPart, gentler ? formats.q8 : formats[name]);
  }
  return chosen;
}

/**
 * The format of each matrix. Those stay as they are stored that their format cannot take (K no multiple of 32 in q8 and q4), and the
 * tower's first layer. The function throws InputError for a matrix that is stored in another packed format: what its numbers were is lost.
 */
export function chosenFormat(
  choice: WeightsChoice,
): (spec: Pick<TensorSpec, 'name' | 'shape'>, stored: Format) => Format {
  const chosen = chosenFormats(choice);
  return ({ name, shape }, stored) => {
    const format = chosen.get(partOf(name));
    const [, columns] = matrixShape(shape);
    const stays = !format || patchEmbedding.test(name) || columns % 4 !== 0 || format.obstacle(columns);
    if (stays || format === stored) return stored;
    if (isPacked(stored))
      throw new InputError(
        `weights: ${name} is stored as ${stored.name} and cannot become ${format.name}; leave it as it is stored, or give the checkpoint that it was made from`,
      );
    return format;
  };
}

/** Choices as a text that tells models apart: what they compute is close, not the same (`HeadVectorSource.precision`). */
export function precisionOf(...choices: (WeightsChoice | undefined)[]): string | undefined {
  const chosen = new Map(choices.flatMap((choice) => (choice ? [...chosenFormats(choice)] : [])));
  const texts = [...chosen].map(([part, { name }]) => `${part}=${name}`).sort();
  return texts.length ? texts.join(',') : undefined;
}
