// What the formats with groups have in common: 32 numbers along K share a scale, which is a half-precision number.
import { declare, declareOut, type Format, type FormatWriter, type MatrixShape } from './format.ts';
import { codec } from './halves.ts';

/** Numbers that share a scale. */
const group = 32;

/** Two groups: their scales share a word. */
const unit = 2 * group;

const half = codec(5);

/** All in which such formats differ. */
interface GroupFormat {
  readonly name: string;
  /** Of each number. */
  readonly bits: 4 | 8;
  /** What is taken from a stored number: stored elements are whole and not negative. */
  readonly zero: number;
  /** The largest number that can be stored, before `zero` is taken from it. */
  readonly most: number;
  /**
   * The scale of a group, before it is rounded to half precision.
   * @param extreme of its elements, the first of those that are farthest from 0.
   */
  readonly scale: (extreme: number) => number;
  /** The same in WGSL. */
  readonly scaleWgsl: (extreme: string) => string;
}

/**
 * Numbers as (q - zero) * scale. Each q is the nearest one for the scale as it is stored, of two equally near the even one. A group that
 * holds NaN, infinity, or more than half precision can scale has an infinite scale: its elements are then not finite, rather than wrong.
 * One whose scale is below half precision's smallest, about 6e-8, becomes zeros.
 */
export function groupFormat({ name, bits, zero, most, scale, scaleWgsl }: GroupFormat): Format {
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const shifts = (first: number) => Array.from({ length: 4 }, (_, i) => `${first + bits * i}u`).join(', ');
  const buffers = ([rows, columns]: MatrixShape) =>
    [
      { dtype: 'u32', shape: [rows, columns / perWord] },
      { what: 'scales', dtype: 'f16', shape: [rows, columns / group] },
    ] as const;
  /** Of number 4 i: its word, and by how many bits it stands above the lowest. */
  const word = (of: string) => (bits === 8 ? `${of}[i]` : `(${of}[i >> 1u] >> (16u * (i & 1u)))`);
  const writer: FormatWriter = {
    unit,
    bindings: (first, of) => [declareOut(first, of, 'u32'), declareOut(first + 1, `${of}Scales`, 'u32')],
    store: (of) => /* wgsl */ `
fn ${of}Store(u: u32, v: ptr<function, array<vec4f, ${unit / 4}>>) {
  var scales = vec2f();
  var infinite = 0u; // as bits: packing an infinite number is not defined
  for (var g = 0u; g < 2u; g++) {
    // by bits, so that NaN is the largest of all
    var extreme = 0u;
    for (var j = 0u; j < ${group}u; j++) {
      let x = bitcast<u32>((*v)[${group / 4}u * g + j / 4u][j % 4u]);
      if ((x & 0x7fffffffu) > (extreme & 0x7fffffffu)) { extreme = x; }
    }
    let fits = (extreme & 0x7fffffffu) <= ${floatBits(largest(scale))}u;
    let wanted = ${scaleWgsl('bitcast<f32>(extreme)')};
    let scale = select(0.0, unpack2x16float(pack2x16float(vec2f(wanted, 0.0))).x, fits);
    scales[g] = scale;
    for (var w = 0u; w < ${group / perWord}u; w++) {
      var word = 0u;
      for (var p = 0u; p < ${perWord}u; p++) {
        let j = w * ${perWord}u + p;
        let x = (*v)[${group / 4}u * g + j / 4u][j % 4u];
        let q = select(0.0, round(x / scale), scale != 0.0) + ${zero}.0;
        word |= u32(clamp(q, 0.0, ${most}.0)) << (${bits}u * p);
      }
      let at = ${unit / perWord}u * u + ${group / perWord}u * g + w;
      if (at < arrayLength(&${of})) { ${of}[at] = word; }
    }
    if (!fits) { infinite |= 0x7c00u << (16u * g); }
  }
  if (u < arrayLength(&${of}Scales)) { ${of}Scales[u] = pack2x16float(scales) | infinite; }
}`,
  };
  return {
    name,
    buffers,
    obstacle: (columns) => (columns % group ? `rows of ${columns} are not of whole groups of ${group}` : undefined),
    bindings: (first, of) => [declare(first, of, 'u32'), declare(first + 1, `${of}Scales`, 'u32')],
    reader: (of, width) =>
      width === 4
        ? /* wgsl */ `
fn ${of}At(i: u32) -> vec4f {
  let scales = unpack2x16float(${of}Scales[i / ${unit / 4}u]);
  let scale = select(scales.x, scales.y, (i & ${group / 4}u) != 0u);
  let q = vec4f((vec4u(${word(of)}) >> vec4u(${shifts(0)})) & vec4u(${mask}u));
  return fma(q, vec4f(scale), vec4f(-${zero}.0 * scale));
}`
        : /* wgsl */ `
fn ${of}At(i: u32) -> f32 {
  let scales = unpack2x16float(${of}Scales[i / ${unit}u]);
  let scale = select(scales.x, scales.y, (i & ${group}u) != 0u);
  let q = f32(extractBits(${of}[i / ${perWord}u], ${bits}u * (i % ${perWord}u), ${bits}u));
  return fma(q, scale, -${zero}.0 * scale);
}`,
    // GPUs make a float of a byte in one instruction, of a nibble in two: of q4 even and odd nibbles first become bytes.
    eightReader: (of) => /* wgsl */ `
fn ${of}EightAt(i: u32) -> array<vec4f, 2> {
  let scale = vec4f(unpack2x16float(${of}Scales[i / 8u] >> (4u * (i & 4u))).x);
  let zero = -${zero}.0 * scale;
  ${
    bits === 8
      ? `let first = vec4f((vec4u(${of}[2u * i]) >> vec4u(${shifts(0)})) & vec4u(${mask}u));
  let second = vec4f((vec4u(${of}[2u * i + 1u]) >> vec4u(${shifts(0)})) & vec4u(${mask}u));`
      : `let word = ${of}[i];
  let even = vec4f(unpack4xU8(word & 0x0f0f0f0fu));
  let odd = vec4f(unpack4xU8((word >> 4u) & 0x0f0f0f0fu));
  let first = vec4f(even.x, odd.x, even.y, odd.y);
  let second = vec4f(even.z, odd.z, even.w, odd.w);`
  }
  return array(fma(first, scale, zero), fma(second, scale, zero));
}`,
    writer,
    pack(values, [rows, columns]) {
      const words = new Uint32Array((rows * columns) / perWord);
      const scales = new Uint16Array(2 * Math.ceil((rows * columns) / unit));
      for (let g = 0; g < (rows * columns) / group; g++) {
        let extreme = 0;
        for (let j = 0; j < group; j++) {
          const x = values[g * group + j];
          if (Math.abs(x) > Math.abs(extreme) || Number.isNaN(x)) extreme = x;
        }
        const fits = Math.abs(extreme) <= largest(scale);
        scales[g] = fits ? half.encode(scale(extreme)) : 0x7c00;
        const [stored] = half.widen(scales.subarray(g, g + 1));
        for (let j = 0; j < group; j++) {
          const q = fits && stored !== 0 ? nearest(values[g * group + j] / stored) + zero : zero;
          const at = g * group + j;
          words[Math.floor(at / perWord)] |= Math.min(most, Math.max(0, q)) << (bits * (at % perWord));
        }
      }
      return [new Uint8Array(words.buffer), new Uint8Array(scales.buffer)];
    },
    unpack([numbers, scaleBytes], [rows, columns]) {
      const words = new Uint32Array(new Uint8Array(numbers).buffer, 0, (rows * columns) / perWord);
      const scales = half.widen(new Uint16Array(new Uint8Array(scaleBytes).buffer, 0, (rows * columns) / group));
      return Float64Array.from({ length: rows * columns }, (_, i) => {
        const q = (words[Math.floor(i / perWord)] >>> (bits * (i % perWord))) & mask;
        return (q - zero) * scales[Math.floor(i / group)];
      });
    },
  };
}

/** The largest number whose group has a scale within half precision. */
const largest = (scale: (extreme: number) => number): number => Math.fround(65504 / Math.abs(scale(1)));

/** Of two equally near the even one, as WGSL's `round`. */
const nearest = (x: number): number => x + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;

const floatBits = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0];
