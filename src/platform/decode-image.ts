import { decodeBmp, readBmp } from './bmp.ts';
import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { orient, turnedSize } from './exif.ts';
import { decodeGif, readGif } from './gif.ts';
import { readHeif } from './heif.ts';
import { readJpeg } from './jpeg.ts';
import { checkSize, defaultMaxPixels } from './limits.ts';
import { decodePng, readPng } from './png.ts';
import { readTiff } from './tiff.ts';
import type { DecodeOptions, PixelSize, RgbImage } from './types.ts';
import { readWebp } from './webp.ts';

/** Decodes to RGB as stored, of exactly the size in the header. */
export type PlatformDecoder = (image: EncodedImage, label: string) => Promise<RgbImage>;

/**
 * Finds out whether a file is a picture of a size that is taken, as far as that can be said without the platform's decoder.
 * @throws ImageError as `decodeBytes` does.
 */
export async function checkImage(bytes: Uint8Array, label: string): Promise<void> {
  const stop = new Error('not decoded'); // caught below
  try {
    await decodeBytes(bytes, label, () => Promise.reject(stop), {});
  } catch (e) {
    if (e !== stop) throw e;
  }
}

/**
 * Reads the file's header, checks its size, decodes it here or by the platform's decoder, and turns it upright.
 * @throws ImageError for another format, a truncated or damaged file, or more than `maxPixels`.
 */
export async function decodeBytes(
  bytes: Uint8Array,
  label: string,
  decoder: PlatformDecoder,
  { maxPixels = defaultMaxPixels }: DecodeOptions,
): Promise<RgbImage> {
  const kind = formatOf(bytes, label);
  if (kind === 'png') return decodePng(bytes, label, maxPixels);
  if (kind === 'gif') return decodeGif(bytes, label, maxPixels);
  if (kind === 'bmp') return decodeBmp(bytes, label, maxPixels);
  const image = readEncoded(kind, bytes, label, maxPixels);
  const stored = await decoder(image, label);
  if (stored.width !== image.width || stored.height !== image.height)
    throw new ImageError(
      `${label}: the image decodes to ${stored.width}x${stored.height} pixels, its header says ${image.width}x${image.height}`,
    );
  return orient(placed(stored, image.canvas), image.orientation);
}

/**
 * The size of what `decodeBytes` makes of a file, which is read as far as that takes: nothing is decoded.
 * @throws ImageError as `decodeBytes`, as far as can be said without pixels.
 */
export async function sizeOfBytes(
  bytes: Uint8Array,
  label: string,
  { maxPixels = defaultMaxPixels }: DecodeOptions = {},
): Promise<PixelSize> {
  const kind = formatOf(bytes, label);
  if (kind === 'gif' || kind === 'bmp') {
    const { width, height } = (kind === 'gif' ? readGif : readBmp)(bytes, label);
    checkSize({ width, height }, label, maxPixels);
    return { width, height };
  }
  const image = kind === 'png' ? await readPng(bytes, label, maxPixels) : readEncoded(kind, bytes, label, maxPixels);
  return turnedSize('canvas' in image && image.canvas ? image.canvas : image, image.orientation);
}

const readers = { jpeg: readJpeg, webp: readWebp, tiff: readTiff, heif: readHeif };

/** What is known of a file before the platform decodes it. */
function readEncoded(kind: keyof typeof readers, bytes: Uint8Array, label: string, maxPixels: number): EncodedImage {
  const image = readers[kind](bytes, label);
  checkSize(image, label, maxPixels);
  if (image.canvas) checkSize(image.canvas, label, maxPixels);
  return image;
}

/** @throws ImageError for a file that is no picture. */
function formatOf(bytes: Uint8Array, label: string): 'png' | 'gif' | 'bmp' | keyof typeof readers {
  const text = (start: number, length: number) => String.fromCharCode(...bytes.subarray(start, start + length));
  if (text(0, 4) === '\x89PNG') return 'png';
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return 'jpeg';
  if (text(0, 4) === 'RIFF' && text(8, 4) === 'WEBP') return 'webp';
  if (/^GIF8[79]a/.test(text(0, 6))) return 'gif';
  if (text(0, 2) === 'BM') return 'bmp';
  if (/^(II[*+]\0|MM\0[*+])/.test(text(0, 4))) return 'tiff';
  if (text(4, 4) === 'ftyp') return 'heif';
  if (text(0, 23) === 'version https://git-lfs')
    throw new ImageError(`${label}: a Git LFS pointer, not the picture itself; fetch it with: git lfs pull`);
  throw new ImageError(`${label}: not a PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF image; convert it to one of them`);
}

function placed(image: RgbImage, canvas: EncodedImage['canvas']): RgbImage {
  if (!canvas || (canvas.width === image.width && canvas.height === image.height)) return image;
  const { width, height, left, top } = canvas;
  const data = new Uint8Array(width * height * 3);
  const row = image.width * 3;
  for (let y = 0; y < image.height; y++)
    data.set(image.data.subarray(y * row, (y + 1) * row), ((top + y) * width + left) * 3);
  return { width, height, data };
}
