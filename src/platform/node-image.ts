import { decodeBytes, sizeOfBytes } from './decode-image.ts';
import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { type ImageSource, resolveImage } from './image-source.ts';
import { readImageFile } from './node-files.ts';
import type { DecodeOptions, PixelSize, RgbImage } from './types.ts';

/**
 * Decodes a picture to RGB as transformers' `load_image` does (PIL's `exif_transpose`, then `convert('RGB')`): turned upright,
 * of several the first, alpha dropped without blending, colour profiles ignored. PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF.
 * An AVIF that stores colours at half the size differs from PIL's at edges of colours.
 * @param source the file's bytes, a Blob, a path, a URL (`file:`, `http:`, `https:`, `data:`), or pixels.
 * @param label names the image in errors; by default what `source` is.
 * @throws ImageError for a corrupt or unsupported file, or more than `maxPixels`; FileError for one that cannot be read.
 */
export async function decodeImage(source: ImageSource, label?: string, options: DecodeOptions = {}): Promise<RgbImage> {
  const found = await resolveImage(source, label, readImageFile, options);
  return 'pixels' in found ? found.pixels : decodeBytes(found.bytes, found.label, decodeWithSharp, options);
}

/**
 * The size of what `decodeImage` gives, from the file's header: nothing is decoded.
 * @throws ImageError, FileError as `decodeImage`, as far as can be said without pixels.
 */
export async function imageSize(source: ImageSource, label?: string, options: DecodeOptions = {}): Promise<PixelSize> {
  const found = await resolveImage(source, label, readImageFile, options);
  return 'pixels' in found ? found.pixels : sizeOfBytes(found.bytes, found.label, options);
}

/** What decodes pictures here, with its version: another one may give other last bits of a JPEG. */
export async function imageDecoder(): Promise<string> {
  const { default: sharp } = await import('sharp');
  return `sharp ${sharp.versions.sharp}`;
}

async function decodeWithSharp(image: EncodedImage, label: string): Promise<RgbImage> {
  // Loaded when first needed: libvips takes a while to start, and PNG does without.
  const { default: sharp } = await import('sharp');
  const isCmyk = image.channels === 4;
  const input = sharp(image.file, {
    failOn: 'error',
    ignoreIcc: true,
    limitInputPixels: image.width * image.height,
  });
  const stored = isCmyk
    ? input.pipelineColourspace('cmyk').toColourspace('cmyk')
    : input.removeAlpha().toColourspace(image.clipped ? 'grey16' : 'srgb');
  const { data, info } = await stored
    .raw({ depth: image.clipped ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch((e: Error) => {
      throw new ImageError(`${label}: the image cannot be decoded: ${e.message.replaceAll(/\s*\n\s*/g, '; ')}`);
    });
  const { width, height, channels } = info;
  if (channels !== (isCmyk ? 4 : image.clipped ? 1 : 3))
    throw new ImageError(`${label}: the image decodes to ${channels} channels`);
  if (image.clipped) return { width, height, data: clipGrey(data) };
  return { width, height, data: isCmyk ? cmykToRgb(data) : new Uint8Array(data.buffer, data.byteOffset, data.length) };
}

/** PIL's mode I;16 is a number, not a share of white: what is more than 255 is white. */
function clipGrey(data: Buffer): Uint8Array {
  const rgb = new Uint8Array((data.length / 2) * 3);
  for (let i = 0; i < data.length / 2; i++) rgb.fill(Math.min(255, data.readUInt16LE(2 * i)), 3 * i, 3 * i + 3);
  return rgb;
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
