// What a model wants against what a checkpoint has: everything that does not fit, named at once.
import { greatest } from '../base/extremes.ts';
import { quote, showShape } from '../base/quote.ts';
import { matrixShape } from '../gpu/formats/format.ts';
import { type Checkpoint, readRange, storedAs } from './checkpoint-files.ts';
import type { CheckpointTensor } from './checkpoint-tensor.ts';
import { CheckpointError } from './errors.ts';
import { visionLayer, whyIgnorable } from './names.ts';
import { isPacked, storedFormats } from './stored-formats.ts';

/** Where a tensor is to be. */
export interface Placement {
  /** Only this one of `of` equal parts of its rows: the spec's shape is that of the whole. */
  readonly part?: { readonly index: number; readonly of: number };
  /** Tensors of one stack lie one after the other in memory, in the order of their specs, where that is possible (allocate.ts). */
  readonly stack?: string;
}

/** A tensor that a model needs. */
export interface TensorSpec extends Placement {
  /** Canonical (names.ts). */
  readonly name: string;
  /** As the checkpoint must have it. */
  readonly shape: readonly number[];
  /**
   * `matrix`: kept in a storage format (src/gpu/formats/), as [first dimension, product of the others]. `vector`: anything that is added or
   * multiplied element by element (norms, biases, position tables), widened to f32 while it is read.
   */
  readonly role: 'matrix' | 'vector';
}

/** What tells one spec from another: a tensor may be loaded in parts. */
export const specKey = ({ name, part }: Pick<TensorSpec, 'name' | 'part'>): string =>
  part ? `${name}[${part.index}/${part.of}]` : name;

/** The shape of the part that is asked for. */
export function partShape({ shape, part }: Pick<TensorSpec, 'shape' | 'part'>): readonly number[] {
  if (!part) return shape;
  const [rows, ...rest] = shape;
  return [rows / part.of, ...rest];
}

/** What a model knows about the tensors that it does not ask for. */
export interface UnreadTensors {
  /** Layers that the vision tower has by config.json. Those after the last one that `specs` name are left unread. */
  readonly visionLayers: number;
  /**
   * Tied tensors: name to the name whose content it shares (`lm_head.weight` to `language_model.embed_tokens.weight`).
   * A checkpoint need not have them; where it does, they must be equal byte for byte.
   */
  readonly tied?: Readonly<Record<string, string>>;
}

/** A tensor of the checkpoint that no forward pass reads. */
export interface IgnoredTensor {
  readonly tensor: CheckpointTensor;
  readonly why: string;
  /** No checkpoint of this kind has it: worth a warning, as transformers gives. */
  readonly unknown?: boolean;
}

/** What stands beside or in the place of weights in quantised checkpoints. */
const quantised = /\.(qweight|qzeros|scales|weight_scale(_inv)?|weight_packed|absmax|quant_map|g_idx)$/;

/**
 * Compares names, shapes and dtypes.
 * @returns the tensors of the checkpoint that are left unread.
 * @throws CheckpointError naming every tensor that is missing, mis-shaped or of a dtype that cannot be loaded.
 */
export function checkSpecs(
  checkpoint: Checkpoint,
  specs: readonly TensorSpec[],
  { visionLayers, tied = {} }: UnreadTensors,
): IgnoredTensor[] {
  const problems: string[] = [];
  for (const { name, shape, role } of specs) {
    const stored = storedAs(checkpoint, name);
    if (!stored) {
      problems.push(`${name}: expected ${showShape(shape)}, the checkpoint has no such tensor`);
      continue;
    }
    const { format, buffers } = stored;
    const [{ dtype, file }] = buffers;
    const isQuantised = format !== undefined && isPacked(format);
    const expected = isQuantised ? matrixShape(shape) : shape;
    if (stored.shape.length !== expected.length || stored.shape.some((d, i) => d !== expected[i]))
      problems.push(
        `${stored.name}: expected ${showShape(expected)}, the checkpoint has ${showShape(stored.shape)} (${file})`,
      );
    if (!format)
      problems.push(
        `${stored.name}: stored as ${dtype}; ${Object.keys(storedFormats).join(', ')} can be loaded: use the unquantised checkpoint (${file})`,
      );
    if (isQuantised && role === 'vector')
      problems.push(`${stored.name}: stored as ${format.name}, which is for matrices (${file})`);
  }

  const wanted = new Set(specs.map((spec) => spec.name));
  const read = greatest(
    specs.map((spec) => (visionLayer(spec.name) ?? -1) + 1),
    0,
  );
  const ignored: IgnoredTensor[] = [];
  const unread = [
    ...[...checkpoint.tensors].map(([canonical, tensor]) => ({ canonical, tensors: [tensor] })),
    ...[...checkpoint.packed].map(([canonical, { buffers }]) => ({ canonical, tensors: buffers })),
  ].filter(({ canonical }) => !wanted.has(canonical));
  for (const { canonical, tensors } of unread) {
    const why = Object.hasOwn(tied, canonical)
      ? `tied to ${tied[canonical]}`
      : whyIgnorable(canonical, { read, total: visionLayers });
    for (const tensor of tensors)
      ignored.push(why ? { tensor, why } : { tensor, why: 'unknown to the model', unknown: true });
  }
  const packed = [...checkpoint.tensors.values()].find(({ name }) => quantised.test(name));
  if (problems.length > 0 && packed)
    throw new CheckpointError(
      `${checkpoint.folder.location}: the weights are quantised (${quote(packed.name)} in ${packed.file}: GPTQ, AWQ, bitsandbytes or MLX), which is not supported; give the unquantised checkpoint`,
      problems,
    );
  // Beside a missing tensor, one without use may be the same under a wrong name.
  if (problems.length > 0)
    for (const { tensor, unknown } of ignored)
      if (unknown) problems.push(`${quote(tensor.name)}: unknown, the model has no use for it (${tensor.file})`);
  if (problems.length > 0)
    throw CheckpointError.ofProblems(
      `${checkpoint.folder.location}: the weights do not fit config.json; is it this checkpoint's, and a supported architecture?`,
      problems,
    );
  return ignored;
}

const compareBytes = 4 << 20;

/**
 * Compares tied tensors of which the checkpoint has both. transformers unties them when they differ, with a warning; here
 * the config has to say what it means.
 * @throws CheckpointError when they differ.
 */
export async function checkTied(
  checkpoint: Checkpoint,
  tied: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<void> {
  for (const [name, source] of Object.entries(tied)) {
    const [a, b] = [storedAs(checkpoint, name), storedAs(checkpoint, source)];
    if (!a || !b) continue;
    const differ = new CheckpointError(
      `${a.name} (${a.buffers[0].file}) differs from ${b.name} (${b.buffers[0].file}), but config.json ties them; set tie_word_embeddings to false`,
    );
    if (a.format !== b.format) throw differ;
    for (const [i, buffer] of a.buffers.entries())
      if (!(await areEqual(checkpoint, buffer, b.buffers[i], signal))) throw differ;
  }
}

async function areEqual(
  { folder }: Checkpoint,
  a: CheckpointTensor,
  b: CheckpointTensor,
  signal?: AbortSignal,
): Promise<boolean> {
  if (a.dtype !== b.dtype || a.end - a.start !== b.end - b.start) return false;
  for (let at = 0; at < a.end - a.start; at += compareBytes) {
    signal?.throwIfAborted();
    const range = (t: CheckpointTensor) =>
      readRange(folder, t.file, t.start + at, Math.min(t.end, t.start + at + compareBytes));
    const [left, right] = [await range(a), await range(b)];
    if (left.some((byte, i) => byte !== right[i])) return false;
  }
  return true;
}
