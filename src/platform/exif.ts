import type { RgbImage } from './types.ts';

/** Where an EXIF block says how the picture is to be turned. */
export interface Orientation {
  /** 2 to 8; 1, which means upright, is reported as no orientation at all. */
  readonly value: number;
  /** Of the two bytes that hold it, from the start of the block. */
  readonly offset: number;
  readonly littleEndian: boolean;
}

/**
 * Tag 0x0112 of the first directory of a TIFF block (TIFF 6.0, section 2), which is what EXIF is.
 * A damaged block is no orientation: the picture is fine without it, and PIL does the same.
 */
export function exifOrientation(tiff: Uint8Array): Orientation | undefined {
  if (tiff.length < 8) return undefined;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const order = view.getUint16(0);
  const littleEndian = order === 0x4949;
  if ((!littleEndian && order !== 0x4d4d) || view.getUint16(2, littleEndian) !== 42) return undefined;
  const directory = view.getUint32(4, littleEndian);
  if (directory + 2 > tiff.length) return undefined;
  const entries = view.getUint16(directory, littleEndian);
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.length) return undefined;
    if (view.getUint16(entry, littleEndian) !== 0x0112) continue;
    const isOneShort = view.getUint16(entry + 2, littleEndian) === 3 && view.getUint32(entry + 4, littleEndian) === 1;
    const value = view.getUint16(entry + 8, littleEndian);
    return isOneShort && value >= 2 && value <= 8 ? { value, offset: entry + 8, littleEndian } : undefined;
  }
  return undefined;
}

/** Turns a picture as its EXIF orientation (1 to 8) says; PIL's `ImageOps.exif_transpose`. */
export function orient(image: RgbImage, orientation: number): RgbImage {
  if (orientation === 1) return image;
  const { width, height, data } = image;
  const transposed = orientation >= 5;
  const flipX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const flipY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  const turned = { width: transposed ? height : width, height: transposed ? width : height };
  const out = new Uint8Array(data.length);
  let o = 0;
  for (let y = 0; y < turned.height; y++) {
    for (let x = 0; x < turned.width; x++) {
      const u = transposed ? y : x;
      const v = transposed ? x : y;
      let i = ((flipY ? height - 1 - v : v) * width + (flipX ? width - 1 - u : u)) * 3;
      out[o++] = data[i++];
      out[o++] = data[i++];
      out[o++] = data[i];
    }
  }
  return { ...turned, data: out };
}
