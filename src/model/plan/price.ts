// What a checkpoint takes, by its config.json alone or with its headers: nothing here needs a GPU or a weight.
import { type Checkpoint, storedAs } from '../../checkpoint/checkpoint-files.ts';
import { specKey, type TensorSpec } from '../../checkpoint/specs.ts';
import { bf16 } from '../../gpu/formats/bf16.ts';
import { f16 } from '../../gpu/formats/f16.ts';
import { f32 } from '../../gpu/formats/f32.ts';
import { type Format, formatBytes, matrixShape, rowsPerPart } from '../../gpu/formats/format.ts';
import { byteSize, elementCount } from '../../gpu/tensor.ts';
import type { Architecture } from '../families/family.ts';
import { weightSpecs } from '../load-model.ts';
import { chosenFormat, partOf, type WeightPart, type WeightsChoice } from '../weight-formats.ts';

export type ModelPart = 'vision tower' | 'projector' | 'embeddings' | 'decoder blocks' | 'LM head';

export interface Price {
  readonly parameters: number;
  /** In the checkpoint's files. */
  readonly storedBytes: number;
  /** On the GPU, where vectors are widened to f32. */
  readonly gpuBytes: number;
}

export interface TensorPrice {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: Format;
  /** On the GPU. */
  readonly bytes: number;
  /** More than one where a matrix exceeds a binding, none where not even one row of it fits one. */
  readonly parts: number;
  /** Of all parts. */
  readonly buffers: number;
}

export interface WeightsPrice extends Price {
  /** Tied embeddings count once, as embeddings. */
  readonly parts: ReadonlyMap<ModelPart, Price>;
  /** Parameters by the name of the stored format. */
  readonly dtypes: ReadonlyMap<string, number>;
  readonly tensors: readonly TensorPrice[];
}

const partNames: Readonly<Record<WeightPart, ModelPart>> = {
  tower: 'vision tower',
  projector: 'projector',
  embeddings: 'embeddings',
  decoder: 'decoder blocks',
  head: 'LM head',
};

/** The format in which a tensor is stored. */
export type FormatOf = (tensor: Pick<TensorSpec, 'name'>) => Format;

/** As the headers of a checkpoint's files say, which have been checked (`checkSpecs`). */
export const storedFormat =
  (checkpoint: Checkpoint): FormatOf =>
  ({ name }) =>
    storedAs(checkpoint, name)!.format!;

/**
 * The weights that a model of this config reads.
 * @param largest bytes of a buffer that the adapter binds at most.
 * @param choice the formats that matrices are to have on the GPU; default as they are stored.
 */
export function priceWeights(
  config: Architecture,
  formatOf: FormatOf,
  largest = Number.POSITIVE_INFINITY,
  choice?: WeightsChoice,
): WeightsPrice {
  const onGpu = choice && chosenFormat(choice);
  const parts = new Map<ModelPart, Price>();
  const dtypes = new Map<string, number>();
  const tensors: TensorPrice[] = [];
  let total: Price = { parameters: 0, storedBytes: 0, gpuBytes: 0 };
  for (const spec of weightSpecs(config)) {
    const stored = formatOf(spec);
    const tensor = priceTensor(spec, onGpu?.(spec, stored) ?? stored, largest);
    const parameters = elementCount(tensor.shape);
    const price = { parameters, storedBytes: formatBytes(stored, matrixShape(tensor.shape)), gpuBytes: tensor.bytes };
    const part = partNames[partOf(spec.name)];
    parts.set(part, sum(parts.get(part), price));
    total = sum(total, price);
    dtypes.set(stored.name, (dtypes.get(stored.name) ?? 0) + parameters);
    tensors.push(tensor);
  }
  return { ...total, parts, dtypes, tensors };
}

function priceTensor(spec: TensorSpec, chosen: Format, largest: number): TensorPrice {
  const [rows, ...rest] = spec.shape;
  const shape = [rows / (spec.part?.of ?? 1), ...rest];
  const format = spec.role === 'matrix' ? chosen : f32;
  const buffers = format.buffers(matrixShape(shape));
  const bytes = buffers.reduce((sum, { dtype, shape }) => sum + byteSize(dtype, shape), 0);
  const unsplit = bytes > largest ? 0 : 1; // vectors are never split
  const perPart = rowsPerPart(format, matrixShape(shape), largest);
  const parts = spec.role === 'matrix' ? perPart && Math.ceil(shape[0] / perPart) : unsplit;
  return { name: specKey(spec), shape, format, bytes, parts, buffers: parts * buffers.length };
}

const sum = (a: Price | undefined, b: Price): Price => ({
  parameters: (a?.parameters ?? 0) + b.parameters,
  storedBytes: (a?.storedBytes ?? 0) + b.storedBytes,
  gpuBytes: (a?.gpuBytes ?? 0) + b.gpuBytes,
});

/** By torch's names, which config.json has. */
const torchFormats: Readonly<Record<string, Format>> = { float32: f32, float16: f16, bfloat16: bf16 };

/** The format that config.json names (`dtype`, before transformers 5 `torch_dtype`), where it does. */
export function configFormat(json: unknown): Format | undefined {
  const root = json as Record<string, Record<string, unknown> | string | undefined>;
  const text = (root.text_config ?? {}) as Record<string, unknown>;
  const name = root.dtype ?? root.torch_dtype ?? text.dtype ?? text.torch_dtype;
  return typeof name === 'string' && Object.hasOwn(torchFormats, name) ? torchFormats[name] : undefined;
}
