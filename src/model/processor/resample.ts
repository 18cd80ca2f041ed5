import type { Rectangle } from '../../base/rectangle.ts';
import type { RgbImage } from '../../platform/types.ts';
import type { Size } from './anyres.ts';

/** PIL's filters by their number, as preprocessor_config.json's `resample` gives it. */
export const filterNames = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as const;
export type Filter = (typeof filterNames)[number];

interface Kernel {
  /** Half its width, in source pixels when enlarging. */
  readonly support: number;
  weight(x: number): number;
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const kernels: Record<Exclude<Filter, 'nearest'>, Kernel> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    // Pillow writes these two constants in single precision
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(Math.PI * x))),
  },
  bicubic: {
    support: 2,
    weight(x) {
      const a = -0.5;
      const t = Math.abs(x);
      if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
      return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** For each output position, the first source position and the weights from there on. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [output position, `stride`] in fixed point. */
  readonly weights: Int32Array;
  readonly stride: number;
}

/** Fractional bits of a weight: what 32 bits leave beside 8 of the pixel and 2 for the filters' overshoot. */
const fractionBits = 22;

/** A stretch of an axis that has `to` positions after resizing. */
interface Stretch {
  readonly to: number;
  readonly start: number;
  readonly length: number;
}

/**
 * Resizes to width x height as Pillow's `Image.resize` does, bit for bit: when shrinking, the filter is widened to the scale
 * (antialiasing); rows first, then columns, in fixed point, and rounded to 8 bits in between. Images more than a hundred
 * times higher than wide take the columns first.
 * @param window the part of the result that is made; all of it by default.
 */
export function resample(
  image: RgbImage,
  width: number,
  height: number,
  filter: Filter,
  window: Rectangle = { top: 0, left: 0, width, height },
): RgbImage {
  const across = { to: width, start: window.left, length: window.width };
  const down = { to: height, start: window.top, length: window.height };
  if (filter === 'nearest') return nearest(image, across, down);
  const kernel = kernels[filter];
  const stays = (from: number, { to, length }: Stretch) => from === to && from === length;
  const toWidth = (im: RgbImage) =>
    stays(im.width, across) ? im : resampleRows(im, makeTaps(im.width, across, kernel));
  const toHeight = (im: RgbImage) =>
    stays(im.height, down) ? im : resampleColumns(im, makeTaps(im.height, down, kernel));
  return columnsGoFirst(image, height) ? toWidth(toHeight(image)) : toHeight(toWidth(image));
}

/** Whether an image is so high that its columns are resized before its rows. */
export const columnsGoFirst = (image: Size, toHeight: number): boolean =>
  image.height > image.width * 100 && toHeight < image.height;

function makeTaps(from: number, { to, start: begin, length }: Stretch, { support, weight }: Kernel): Taps {
  const scale = from / to;
  const widening = Math.max(1, scale);
  const reach = support * widening;
  const stride = Math.ceil(reach) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < length; i++) {
    const centre = (begin + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5));
    const n = Math.min(from, Math.trunc(centre + reach + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < n; k++) {
      exact[k] = weight((k + start - centre + 0.5) * (1 / widening));
      sum += exact[k];
    }
    for (let k = 0; k < n; k++) {
      const w = (sum === 0 ? exact[k] : exact[k] / sum) * 2 ** fractionBits;
      weights[i * stride + k] = Math.trunc(w < 0 ? w - 0.5 : w + 0.5);
    }
    first[i] = start;
    count[i] = n;
  }
  return { first, count, weights, stride };
}

function resampleRows({ width, height, data }: RgbImage, { first, count, weights, stride }: Taps): RgbImage {
  const to = first.length;
  const out = new Uint8ClampedArray(to * height * 3);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < to; x++) {
      let r = 1 << (fractionBits - 1);
      let g = r;
      let b = r;
      let i = (y * width + first[x]) * 3;
      for (let k = x * stride, end = k + count[x]; k < end; k++) {
        const w = weights[k];
        r += data[i++] * w;
        g += data[i++] * w;
        b += data[i++] * w;
      }
      out[o++] = r >> fractionBits;
      out[o++] = g >> fractionBits;
      out[o++] = b >> fractionBits;
    }
  }
  return { width: to, height, data: new Uint8Array(out.buffer) };
}

function resampleColumns({ width, data }: RgbImage, { first, count, weights, stride }: Taps): RgbImage {
  const to = first.length;
  const row = width * 3;
  const out = new Uint8ClampedArray(to * row);
  const sums = new Int32Array(row);
  for (let y = 0; y < to; y++) {
    sums.fill(1 << (fractionBits - 1));
    for (let k = 0; k < count[y]; k++) {
      const w = weights[y * stride + k];
      const start = (first[y] + k) * row;
      for (let x = 0; x < row; x++) sums[x] += data[start + x] * w;
    }
    for (let x = 0; x < row; x++) out[y * row + x] = sums[x] >> fractionBits;
  }
  return { width, height: to, data: new Uint8Array(out.buffer) };
}

function nearest({ width, height, data }: RgbImage, across: Stretch, down: Stretch): RgbImage {
  const xs = nearestPositions(width, across);
  const ys = nearestPositions(height, down);
  const out = new Uint8Array(xs.length * ys.length * 3);
  let o = 0;
  for (const y of ys) {
    for (const x of xs) {
      let i = (y * width + x) * 3;
      out[o++] = data[i++];
      out[o++] = data[i++];
      out[o++] = data[i];
    }
  }
  return { width: xs.length, height: ys.length, data: out };
}

/** Pillow adds the step up instead of multiplying, which now and then decides a pixel. */
function nearestPositions(from: number, { to, start, length }: Stretch): Int32Array {
  const step = from / to;
  const positions = new Int32Array(length);
  for (let i = 0, at = step * 0.5; i < start + length; i++, at += step)
    if (i >= start) positions[i - start] = Math.min(from - 1, Math.trunc(at));
  return positions;
}
