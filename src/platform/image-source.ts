import { ImageError } from './errors.ts';
import type { DecodeOptions, ImageSource, RgbImage } from './types.ts';

export type { ImageSource } from './types.ts';

/** The most bytes that a picture's file may have. */
export const maxFileBytes = 2 ** 28;

type Resolved = { readonly pixels: RgbImage } | { readonly bytes: Uint8Array; readonly label: string };

/**
 * The bytes, or pixels, of a picture in whichever form it is given.
 * @param read reads a path or URL, as the platform can.
 * @throws ImageError naming the form that is none of these.
 */
export async function resolveImage(
  source: ImageSource,
  label: string | undefined,
  read: (location: string | URL, label: string, options: DecodeOptions) => Promise<Uint8Array>,
  options: DecodeOptions,
): Promise<Resolved> {
  const given: unknown = source;
  if (typeof given === 'string' || given instanceof URL) {
    const text = String(given);
    const name = label ?? (text.startsWith('data:') ? 'data URL' : text);
    return { bytes: await read(given, name, options), label: name };
  }
  if (given instanceof Blob) {
    const name = label ?? (given instanceof File ? given.name : 'image');
    if (given.size > maxFileBytes) throw tooLarge(name, given.size);
    return { bytes: new Uint8Array(await given.arrayBuffer()), label: name };
  }
  const name = label ?? 'image';
  const bytes = bytesOf(given);
  if (bytes) {
    if (bytes.length > maxFileBytes) throw tooLarge(name, bytes.length);
    return { bytes, label: name };
  }
  if (typeof given === 'object' && given !== null && 'width' in given && 'height' in given && 'data' in given)
    return { pixels: pixelsOf(given, name) };
  throw new ImageError(
    `${name}: ${kindOf(given)} is no image; give its file's bytes (Uint8Array, ArrayBuffer, Blob), a path or URL, or pixels ({ width, height, data })`,
  );
}

export const tooLarge = (label: string, size: number) =>
  new ImageError(`${label}: a file of ${size} bytes; ${maxFileBytes} are the most for a picture`);

/** A Buffer becomes a plain view: its `slice` would share memory. */
function bytesOf(given: unknown): Uint8Array | undefined {
  if (given instanceof Uint8Array || given instanceof Uint8ClampedArray || given instanceof DataView)
    return new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  return /^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(given))
    ? new Uint8Array(given as ArrayBuffer)
    : undefined;
}

function pixelsOf(given: { width: unknown; height: unknown; data: unknown }, label: string): RgbImage {
  const { width, height, data } = given as { width: number; height: number; data: unknown };
  const values = bytesOf(data);
  const pixels = width * height;
  const isSize = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  const channels = values && values.length / pixels;
  if (!isSize || (channels !== 3 && channels !== 4))
    throw new ImageError(
      `${label}: pixels of ${width}x${height} with ${values ? `${values.length} bytes` : kindOf(data)} as data; width * height * 3 bytes are RGB, * 4 are RGBA`,
    );
  return { width, height, data: channels === 3 ? values! : dropAlpha(values!) };
}

/** Colours as they are: alpha is dropped without blending. */
export function dropAlpha(rgba: Uint8ClampedArray | Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, o = 0; i < rgba.length; i += 4) {
    rgb[o++] = rgba[i];
    rgb[o++] = rgba[i + 1];
    rgb[o++] = rgba[i + 2];
  }
  return rgb;
}

const kindOf = (given: unknown) =>
  given === null ? 'null' : typeof given === 'object' ? (given.constructor?.name ?? 'an object') : typeof given;
