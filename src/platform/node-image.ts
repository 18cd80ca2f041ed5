import { ImageError } from './errors.ts';
import { orient } from './exif.ts';
import { defaultMaxPixels, type ImageHeader, patched, readImageHeader } from './image-header.ts';
import { decodePng } from './png.ts';
import type { DecodeOptions, RgbImage } from './types.ts';

/**
 * Decodes a PNG, JPEG, WebP or GIF (its first picture) to RGB as transformers' `load_image` does (PIL's `exif_transpose`, then
 * `convert('RGB')`): turned upright, alpha dropped without blending, colour profiles ignored.
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
  const decoded = await decodeWithSharp(patched(bytes, header), header, label);
  return orient(decoded, header.orientation);
}

/** What decodes pictures here, with its version: another one may give other last bits of a JPEG. */
export async function imageDecoder(): Promise<string> {
  const { default: sharp } = await import('sharp');
  return `sharp ${sharp.versions.sharp}`;
}

async function decodeWithSharp(bytes: Uint8Array, header: ImageHeader, label: string): Promise<RgbImage> {
  // Loaded when first needed: libvips takes a while to start, and PNG does without.
  const { default: sharp } = await import('sharp');
  const isCmyk = header.channels === 4;
  const input = sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: false });
  const stored = isCmyk
    ? input.pipelineColourspace('cmyk').toColourspace('cmyk')
    : input.removeAlpha().toColourspace('srgb');
  const { data, info } = await stored
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((e: Error) => {
      throw new ImageError(`${label}: the image cannot be decoded: ${e.message.replaceAll(/\s*\n\s*/g, '; ')}`);
    });
  const { width, height, channels } = info;
  if (channels !== (isCmyk ? 4 : 3)) throw new ImageError(`${label}: the image decodes to ${channels} channels`);
  return { width, height, data: isCmyk ? cmykToRgb(data) : new Uint8Array(data.buffer, data.byteOffset, data.length) };
}

/** PIL's conversion, which knows no inks: r = (255 - k) - c (255 - k) / 255, rounded. */
function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let i = 0, o = 0; i < cmyk.length; i += 4) {
    const light = 255 - cmyk[i + 3];
    for (let c = 0; c < 3; c++) rgb[o++] = light - Math.round((cmyk[i + c] * light) / 255);
  }
  return rgb;
}
