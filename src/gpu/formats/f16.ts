import { halfFormat } from './halves.ts';

/**
 * Two numbers as halves in a word, rounded to the nearest. What half precision cannot hold becomes NaN, never a number: packing it is
 * not defined, and an infinite key could leave the softmax unseen. By bits, since WGSL promises nothing of NaN either.
 */
const halves = (pair: string) => {
  const lost = (component: string) => `(bitcast<u32>((${pair}).${component}) & 0x7fffffffu) >= ${bitsOf65520}u`;
  const held = `clamp(${pair}, vec2f(-65504.0), vec2f(65504.0))`; // what lies between them and 65520 is rounded to them
  return `(pack2x16float(select(${held}, vec2f(), vec2<bool>(${lost('x')}, ${lost('y')}))) | select(0u, 0x7e00u, ${lost('x')}) | select(0u, 0x7e000000u, ${lost('y')}))`;
};

/** The first number that would be rounded to infinity, as bits of single precision. */
const bitsOf65520 = '0x477ff000';

/** IEEE half precision. WGSL unpacks it without the feature `shader-f16`. */
export const f16 = halfFormat('f16', 5, (word) => `unpack2x16float(${word})`, halves);
