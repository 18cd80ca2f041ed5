// What the formats of 16 bits have in common: two numbers in a u32, the first in its low half.
import type { DType } from '../tensor.ts';
import { declare, declareOut, type Format } from './format.ts';

/**
 * @param pair WGSL of a `vec2f`, the two elements of the u32 `word`.
 * @param word WGSL of the u32 of a `vec2f`, rounded to the nearest.
 */
export function halfFormat(
  name: Extract<DType, 'f16' | 'bf16'>,
  exponentBits: number,
  pair: (word: string) => string,
  word: (pair: string) => string,
): Format {
  const { encode, widen } = codec(exponentBits);
  return {
    name,
    buffers: (shape) => [{ dtype: name, shape }],
    obstacle: () => undefined,
    bindings: (first, of, width) => [declare(first, of, width === 4 ? 'vec2u' : 'u32')],
    reader: (of, width) =>
      width === 4
        ? `fn ${of}At(i: u32) -> vec4f { let w = ${of}[i]; return vec4f(${pair('w.x')}, ${pair('w.y')}); }`
        : `fn ${of}At(i: u32) -> f32 { let w = ${of}[i >> 1u]; let pair = ${pair('w')}; return select(pair.x, pair.y, (i & 1u) == 1u); }`,
    writer: {
      unit: 4,
      bindings: (first, of) => [declareOut(first, of, 'vec2u')],
      store: (of) =>
        `fn ${of}Store(u: u32, v: ptr<function, array<vec4f, 1>>) { let x = (*v)[0]; ${of}[u] = vec2u(${word('x.xy')}, ${word('x.zw')}); }`,
    },
    pairWriter: {
      bindings: (first, of) => [declareOut(first, of, 'u32')],
      store: (of) => `fn ${of}StorePair(i: u32, pair: vec2f) { ${of}[i] = ${word('pair')}; }`,
    },
    pack(values) {
      const halves = new Uint16Array(Math.ceil(values.length / 2) * 2);
      for (let i = 0; i < values.length; i++) halves[i] = encode(values[i]);
      return [new Uint8Array(halves.buffer)];
    },
    unpack: ([bytes], [rows, columns]) =>
      new Float64Array(widen(new Uint16Array(new Uint8Array(bytes).buffer, 0, rows * columns))),
  };
}

const double = new Float64Array(1);
const doubleWords = new Uint32Array(double.buffer);

/** IEEE floating-point numbers of 16 bits with so many for the exponent. */
export function codec(exponentBits: number) {
  const mantissaBits = 15 - exponentBits;
  const one = 2 ** mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const lowest = 1 - bias; // the exponent of subnormals too
  const infinity = (2 ** exponentBits - 1) * one;
  return {
    /** To the nearest, of two equally near the even one, as GPUs and torch round. */
    encode(x: number): number {
      double[0] = x;
      const high = doubleWords[1];
      const sign = (high >>> 16) & 0x8000;
      if (Number.isNaN(x)) return sign | infinity | (one >> 1);
      const exponent = Math.max(lowest, ((high >>> 20) & 0x7ff) - 1023);
      if (exponent > bias) return sign | infinity;
      const mantissa = Math.abs(x) / 2 ** (exponent - mantissaBits);
      // The sum leaves no bits below 1. A mantissa that is rounded up to the next power of two raises the exponent.
      const rounded = mantissa + 2 ** 52 - 2 ** 52;
      return sign | ((exponent - lowest) * one + rounded);
    },
    /** To single precision, exact for every value, subnormals and infinities included; NaNs stay the same ones. */
    widen(halves: Uint16Array): Float32Array {
      const out = new Float32Array(halves.length);
      const words = new Uint32Array(out.buffer);
      for (let i = 0; i < halves.length; i++) {
        const magnitude = halves[i] & 0x7fff;
        words[i] = magnitude << (23 - mantissaBits);
        if (magnitude >= infinity) words[i] |= 0x7f800000;
        // Read with its exponent bits in single's place the value is too small by this, and subnormals stay subnormal.
        else out[i] *= 2 ** (127 - bias);
        words[i] |= (halves[i] & 0x8000) << 16;
      }
      return out;
    },
  };
}
