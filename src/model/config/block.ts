import type { ActivationFunction } from '../../kernels/activation/activation.wgsl.ts';

/** The sizes and kinds of a block: all that differs between the decoders and towers of every family. */
export interface BlockShape {
  readonly dModel: number;
  readonly dMlp: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly dHead: number;
  readonly eps: number;
  readonly act: ActivationFunction;
  /** MLP: down(act(gate(x)) · up(x)), or else down(act(up(x))). */
  readonly gated: boolean;
}
