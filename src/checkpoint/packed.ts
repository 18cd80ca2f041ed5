// Matrices in formats that no dtype of safetensors is: each buffer of the format is a tensor of its own in the file.
// docs/weights.md describes the files for who wants to read them elsewhere.
import { quote, showShape } from '../base/quote.ts';
import type { Format, FormatBuffer, MatrixShape } from '../gpu/formats/format.ts';
import { formats } from '../gpu/formats/index.ts';
import type { DType } from '../gpu/tensor.ts';
import type { FileTensor, StoredAs } from './checkpoint-tensor.ts';
import type { SafetensorsDType } from './safetensors-dtypes.ts';
import { isPacked } from './stored-formats.ts';

/** The key of a file's metadata that says how the packed matrices in it are laid out, and the one way that there is. */
export const packingKey = 'headlight_packing';
export const packingVersion = '1';

/** What `quantization_config` of config.json has as `quant_method`, where the matrices are packed in this way. */
export const quantMethod = 'headlight';

/** Whether a `quantization_config` is what `quantize` writes. */
export const isOurs = (json: unknown): boolean =>
  (json as { quant_method?: unknown } | null | undefined)?.quant_method === quantMethod;

/** A packed matrix of a checkpoint. */
export interface PackedMatrix extends StoredAs {
  readonly format: Format;
  readonly shape: MatrixShape;
}

const endingOf = ({ name }: Format, { what }: FormatBuffer): string => (what ? `.${name}.${what}` : `.${name}`);

/** The dtype of a buffer in a file. */
const fileDType = (dtype: DType) => dtype.toUpperCase() as SafetensorsDType;

/** The tensors that a packed matrix is in a file, in the order of its format's buffers. */
export const packedTensors = (name: string, format: Format, shape: MatrixShape) =>
  format.buffers(shape).map((buffer) => ({
    name: name + endingOf(format, buffer),
    dtype: fileDType(buffer.dtype),
    shape: buffer.shape,
  }));

/** A width that every format can hold. */
const someColumns = 1024;

const endings = Object.values<Format>(formats)
  .filter(isPacked)
  .flatMap((format) =>
    format.buffers([1, someColumns]).map((buffer, index) => ({ format, index, ending: endingOf(format, buffer) })),
  );

type Found = Omit<PackedMatrix, 'buffers'> & { readonly buffers: readonly FileTensor[] };

/** The buffers of one, by their numbers; some may be missing. */
interface GatheredMatrix {
  readonly name: string;
  readonly format: Format;
  readonly buffers: Record<number, FileTensor>;
}

/**
 * Finds the packed matrices among the tensors of a checkpoint's files, by their names.
 * @param versionOf what a file's metadata has under `packingKey`.
 * @returns them, the tensors that are of none, and what is wrong with those that cannot be read.
 */
export function findPacked(
  tensors: readonly FileTensor[],
  versionOf: (file: string) => string | undefined,
): { readonly packed: readonly Found[]; readonly others: readonly FileTensor[]; readonly problems: readonly string[] } {
  const others: FileTensor[] = [];
  const matrices = new Map<string, GatheredMatrix>();
  for (const tensor of tensors) {
    const found = endings.find(({ ending }) => tensor.name.endsWith(ending));
    if (!found) {
      others.push(tensor);
      continue;
    }
    const { format, index, ending } = found;
    const name = tensor.name.slice(0, -ending.length);
    const key = `${name}.${format.name}`;
    const matrix = matrices.get(key) ?? { name, format, buffers: {} };
    matrix.buffers[index] = tensor;
    matrices.set(key, matrix);
  }
  const unreadable = new Map<string, FileTensor>();
  for (const part of [...matrices.values()].flatMap(({ buffers }) => Object.values(buffers)))
    if (versionOf(part.file) !== packingVersion && !unreadable.has(part.file)) unreadable.set(part.file, part);
  if (unreadable.size > 0)
    return {
      packed: [],
      others,
      problems: [...unreadable].map(([file, { name }]) => {
        const version = versionOf(file);
        return `${quote(name)}: ${file} has ${version === undefined ? 'no' : quote(version)} ${packingKey} in its metadata, this version of Headlight reads ${packingVersion}`;
      }),
    };
  const packed: Found[] = [];
  const problems: string[] = [];
  for (const matrix of matrices.values()) {
    const checked = checkMatrix(matrix);
    if (typeof checked === 'string') problems.push(checked);
    else packed.push(checked);
  }
  return { packed, others, problems };
}

/** The matrix, or what is wrong with it. */
function checkMatrix({ name, format, buffers }: GatheredMatrix): Found | string {
  const all = Object.values(buffers);
  const absent = packedTensors(name, format, [1, someColumns]).find((_, i) => !buffers[i]);
  if (absent) return `${quote(all[0].name)}: ${quote(absent.name)} is missing beside it (${all[0].file})`;
  const [{ name: tensor, shape: words, file }] = all;
  const [rows, perRow] = words;
  const shape: MatrixShape = [rows, (perRow * someColumns) / format.buffers([1, someColumns])[0].shape[1]];
  const obstacle = words.length === 2 ? format.obstacle(shape[1]) : 'it is no matrix';
  if (obstacle) return `${quote(tensor)}: ${showShape(words)} cannot be of ${format.name}: ${obstacle} (${file})`;
  for (const [i, wanted] of packedTensors(name, format, shape).entries()) {
    const { dtype, shape: found, file } = all[i];
    if (dtype !== wanted.dtype || found.length !== wanted.shape.length || found.some((d, j) => d !== wanted.shape[j]))
      return `${quote(wanted.name)}: expected ${wanted.dtype} ${showShape(wanted.shape)} for ${format.name} ${showShape(shape)}, the checkpoint has ${dtype} ${showShape(found)} (${file})`;
  }
  return { name, format, shape, buffers: all };
}
