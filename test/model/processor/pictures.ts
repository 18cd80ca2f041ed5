import type { RgbImage } from '../../../src/platform/types.ts';

/** The picture that test/reference/processor_families.py calls by the same name. */
export function picture(width: number, height: number, n = 0): RgbImage {
  const data = new Uint8Array(width * height * 3);
  let i = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++)
        data[i++] = Math.floor((x * x * 3 + y * y * 5 + x * y * 7 + c * 41 + n * 67) / 4) % 256;
  return { width, height, data };
}

export const frames = (width: number, height: number, n: number) =>
  Array.from({ length: n }, (_, i) => picture(width, height, i));
