import type { ActivationFunction } from '../../kernels/activation/activation.wgsl.ts';

/** The sizes and kinds of a block: all that differs between the decoders and towers of every family. */
export interface BlockShape {
  /** Width of the residual stream. */
  readonly dModel: number;
  /** Width within the MLP. */
  readonly dMlp: number;
  readonly nHeads: number;
  /** Heads of keys and values; each serves nHeads / nKvHeads query heads. */
  readonly nKvHeads: number;
  /** Width of one head. */
  readonly dHead: number;
  /** Of the norms. */
  readonly eps: number;
  /** The function between the matrices of the MLP. */
  readonly act: ActivationFunction;
  /** MLP: down(act(gate(x)) · up(x)), or else down(act(up(x))). */
  readonly gated: boolean;
}
