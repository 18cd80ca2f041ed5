import { halfFormat } from './halves.ts';

/** IEEE half precision. WGSL unpacks it without the feature `shader-f16`. */
export const f16 = halfFormat(
  'f16',
  5,
  (word) => `unpack2x16float(${word})`,
  (pair) => `pack2x16float(${pair})`,
);
