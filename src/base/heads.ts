// Attention heads of a decoder, and the order of all arrays over [layers, heads]: layer by layer.

/** An attention head of the decoder. */
export interface Head {
  /** From 0, in the order of the run. */
  readonly layer: number;
  /** Within its layer, from 0: a query head. */
  readonly head: number;
}

/** `2.5`: head 5 of layer 2. */
export const headName = ({ layer, head }: Head): string => `${layer}.${head}`;

/** The head at a place of a flat array over [layers, heads]. */
export const headAt = (flat: number, { nHeads }: { readonly nHeads: number }): Head => ({
  layer: Math.floor(flat / nHeads),
  head: flat % nHeads,
});

/** Every head, layer by layer. */
export function allHeads(shape: { readonly nLayers: number; readonly nHeads: number }): Head[] {
  return Array.from({ length: shape.nLayers * shape.nHeads }, (_, flat) => headAt(flat, shape));
}
