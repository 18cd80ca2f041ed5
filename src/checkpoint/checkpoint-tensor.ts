import type { Format } from '../gpu/formats/format.ts';
import type { TensorInfo } from './safetensors.ts';

/** One tensor of a checkpoint's files. `start` and `end` are offsets in its file. */
export interface FileTensor extends TensorInfo {
  /** The file that holds it. */
  readonly file: string;
}

/** The same, under its name in the one layout that the rest of the code knows (names.ts). */
export interface CheckpointTensor extends FileTensor {
  readonly canonical: string;
}

/** How a tensor that a model reads is stored. */
export interface StoredAs {
  /** Without what the names of a packed matrix's buffers end in. */
  readonly name: string;
  /** Of the tensor, or of the matrix that is packed. */
  readonly shape: readonly number[];
  /** Undefined where its dtype is none that weights can have. */
  readonly format: Format | undefined;
  /** Where its bytes are: one tensor of a file, or as the format's `buffers` say. */
  readonly buffers: readonly CheckpointTensor[];
}
