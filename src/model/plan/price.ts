// What a checkpoint takes, by its config.json alone or with its headers: nothing here needs a GPU or a weight.
import type { Checkpoint } from '../../checkpoint/checkpoint-files.ts';
import { specKey, type TensorSpec } from '../../checkpoint/specs.ts';
import { byteSize, bytesPerElement, type DType, elementCount, splitRows } from '../../gpu/tensor.ts';
import type { Architecture } from '../families/family.ts';
import { weightSpecs } from '../load-model.ts';

export type ModelPart = 'vision tower' | 'projector' | 'embeddings' | 'decoder blocks' | 'LM head';

export interface Price {
  readonly parameters: number;
  /** In the checkpoint's files. */
  readonly storedBytes: number;
  /** On the GPU, where matrices keep their precision and vectors are widened to f32. */
  readonly gpuBytes: number;
}

export interface TensorPrice {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** On the GPU. */
  readonly bytes: number;
  /** Buffers: more than one where a matrix exceeds a binding, none where not even one row of it fits one. */
  readonly buffers: number;
}

export interface WeightsPrice extends Price {
  /** Tied embeddings count once, as embeddings. */
  readonly parts: ReadonlyMap<ModelPart, Price>;
  /** Parameters by stored precision. */
  readonly dtypes: ReadonlyMap<DType, number>;
  readonly tensors: readonly TensorPrice[];
}

const partsByName: readonly (readonly [RegExp, ModelPart])[] = [
  [/^(vision_tower\.|visual\.(?!merger\.))/, 'vision tower'],
  [/^(multi_modal_projector\.|visual\.merger\.|image_newline$)/, 'projector'],
  [/^language_model\.embed_tokens\./, 'embeddings'],
  [/^language_model\./, 'decoder blocks'],
  [/^lm_head\./, 'LM head'],
];

/** The precision in which a tensor is stored. */
export type DTypeOf = (tensor: Pick<TensorSpec, 'name'>) => DType;

/** As the headers of a checkpoint's files say, which have been checked (`checkSpecs`). */
export const storedDType =
  ({ tensors }: Checkpoint): DTypeOf =>
  ({ name }) =>
    tensors.get(name)!.dtype.toLowerCase() as DType;

/**
 * The weights that a model of this config reads.
 * @param largest bytes of a buffer that the adapter binds at most.
 */
export function priceWeights(config: Architecture, dtypeOf: DTypeOf, largest = Number.POSITIVE_INFINITY): WeightsPrice {
  const parts = new Map<ModelPart, Price>();
  const dtypes = new Map<DType, number>();
  const tensors: TensorPrice[] = [];
  let total: Price = { parameters: 0, storedBytes: 0, gpuBytes: 0 };
  for (const spec of weightSpecs(config)) {
    const dtype = dtypeOf(spec);
    const tensor = priceTensor(spec, dtype, largest);
    const parameters = elementCount(tensor.shape);
    const price = { parameters, storedBytes: parameters * bytesPerElement[dtype], gpuBytes: tensor.bytes };
    const part = partsByName.find(([pattern]) => pattern.test(spec.name))![1];
    parts.set(part, sum(parts.get(part), price));
    total = sum(total, price);
    dtypes.set(dtype, (dtypes.get(dtype) ?? 0) + parameters);
    tensors.push(tensor);
  }
  return { ...total, parts, dtypes, tensors };
}

function priceTensor(spec: TensorSpec, stored: DType, largest: number): TensorPrice {
  const [rows, ...rest] = spec.shape;
  const shape = [rows / (spec.part?.of ?? 1), ...rest];
  const dtype = spec.role === 'matrix' ? stored : 'f32';
  const bytes = byteSize(dtype, shape);
  const ranges = spec.role === 'matrix' ? splitRows([shape[0], elementCount(rest)], dtype, largest).length : 1;
  return { name: specKey(spec), shape, dtype, bytes, buffers: bytes > largest && spec.role === 'vector' ? 0 : ranges };
}

const sum = (a: Price | undefined, b: Price): Price => ({
  parameters: (a?.parameters ?? 0) + b.parameters,
  storedBytes: (a?.storedBytes ?? 0) + b.storedBytes,
  gpuBytes: (a?.gpuBytes ?? 0) + b.gpuBytes,
});

const dtypes: Readonly<Record<string, DType>> = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' };

/** The precision that config.json names (`dtype`, before transformers 5 `torch_dtype`), where it does. */
export function configDType(json: unknown): DType | undefined {
  const root = json as Record<string, Record<string, unknown> | string | undefined>;
  const text = (root.text_config ?? {}) as Record<string, unknown>;
  const name = root.dtype ?? root.torch_dtype ?? text.dtype ?? text.torch_dtype;
  return typeof name === 'string' && Object.hasOwn(dtypes, name) ? dtypes[name] : undefined;
}
