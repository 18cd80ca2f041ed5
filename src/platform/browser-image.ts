import { ImageError } from './errors.ts';
import { orient } from './exif.ts';
import { defaultMaxPixels, patched, readImageHeader } from './image-header.ts';
import { decodePng } from './png.ts';
import type { DecodeOptions, RgbImage } from './types.ts';

/**
 * Decodes a PNG, JPEG, WebP or GIF (its first picture) to RGB, to the same pixels as in Node: turned upright, alpha
 * dropped without blending, colour profiles ignored. CMYK JPEGs are refused, because browsers convert them each in
 * their own way; so are partly transparent WebP images where the browser has no ImageDecoder.
 * @param label names the image in errors.
 * @throws ImageError for a corrupt or unsupported file, or more than `maxPixels`.
 */
export async function decodeImage(
  bytes: Uint8Array,
  label: string,
  { maxPixels = defaultMaxPixels }: DecodeOptions = {},
): Promise<RgbImage> {
  const header = readImageHeader(bytes, label, maxPixels);
  if (header.format === 'png') return decodePng(bytes, label);
  if (header.channels === 4)
    throw new ImageError(`${label}: a CMYK JPEG; browsers do not agree on its colours, convert it to RGB`);
  const data = patched(bytes, header) as Uint8Array<ArrayBuffer>;
  const type = `image/${header.format}`;
  const decoded = header.alpha ? await decodeFrame(data, type, label) : await decodeOnCanvas(data, type, label);
  return orient(decoded, header.orientation);
}

/** Opaque images: a canvas holds colour multiplied by alpha, which changes nothing where alpha is 1. */
async function decodeOnCanvas(data: Uint8Array<ArrayBuffer>, type: string, label: string): Promise<RgbImage> {
  const bitmap = await createImageBitmap(new Blob([data], { type }), {
    colorSpaceConversion: 'none',
    premultiplyAlpha: 'none',
  }).catch((e: Error) => {
    throw new ImageError(`${label}: the image cannot be decoded: ${e.message}`);
  });
  try {
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (!context) throw new ImageError(`${label}: the browser gives no canvas of ${width}x${height} pixels`);
    context.drawImage(bitmap, 0, 0);
    return { width, height, data: dropAlpha(context.getImageData(0, 0, width, height).data, width * 4, width, height) };
  } finally {
    bitmap.close();
  }
}

/** Images with alpha: WebCodecs hands out the decoder's pixels without multiplying. */
async function decodeFrame(data: Uint8Array<ArrayBuffer>, type: string, label: string): Promise<RgbImage> {
  if (typeof ImageDecoder === 'undefined')
    throw new ImageError(
      `${label}: this browser cannot decode a partly transparent ${type} exactly; convert it to PNG`,
    );
  const decoder = new ImageDecoder({ data, type, colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  try {
    const { image } = await decoder.decode();
    try {
      const { codedWidth: width, codedHeight: height } = image;
      const options = { format: 'RGBA' } as const;
      const pixels = new Uint8ClampedArray(image.allocationSize(options));
      const [layout] = await image.copyTo(pixels, options);
      return { width, height, data: dropAlpha(pixels.subarray(layout.offset), layout.stride, width, height) };
    } finally {
      image.close();
    }
  } catch (e) {
    throw new ImageError(`${label}: the image cannot be decoded: ${(e as Error).message}`);
  } finally {
    decoder.close();
  }
}

function dropAlpha(rgba: Uint8ClampedArray, stride: number, width: number, height: number): Uint8Array {
  const rgb = new Uint8Array(width * height * 3);
  let o = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0, i = y * stride; x < width; x++, i += 4) {
      rgb[o++] = rgba[i];
      rgb[o++] = rgba[i + 1];
      rgb[o++] = rgba[i + 2];
    }
  }
  return rgb;
}
