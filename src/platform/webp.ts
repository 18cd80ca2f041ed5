import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { orientationOf } from './exif.ts';
import { truncated } from './limits.ts';

interface Chunk {
  readonly name: string;
  readonly body: Uint8Array;
}

/**
 * Reads the RIFF chunks (WebP container specification). What decoders get is a file of the first picture's chunk alone, so
 * that none of them turns it, and the alpha of a lossy picture, a chunk of its own, takes no effect: what they then give are
 * the colours as stored. A lossless picture holds alpha in each pixel, where it stays.
 * @throws ImageError for a damaged or truncated file.
 */
export function readWebp(bytes: Uint8Array, label: string): EncodedImage {
  const damaged = (what: string) => new ImageError(`${label}: damaged WebP, ${what}`);
  if (bytes.length < 30) throw truncated(label);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 8 + view.getUint32(4, true);
  if (end > bytes.length) throw truncated(label);
  const all = chunks(bytes.subarray(12, end), label);
  const extended = all[0]?.name === 'VP8X' && all[0].body.length >= 10 ? all[0].body : undefined;
  const flags = extended?.[0] ?? 0;
  const animation = flags & 0x02 ? all.find(({ name }) => name === 'ANMF')?.body : undefined;
  if (animation && animation.length < 16) throw truncated(label);
  const candidates = animation ? chunks(animation.subarray(16), label) : extended ? all : all.slice(0, 1);
  const picture = candidates.find(({ name }) => name === 'VP8 ' || name === 'VP8L');
  if (!picture) throw damaged('it has no picture');
  const { width, height, alpha } = pictureSize(picture, label);
  const canvas = extended ? { width: 1 + u24(extended, 4), height: 1 + u24(extended, 7) } : { width, height };
  const frame = animation && {
    left: 2 * u24(animation, 0),
    top: 2 * u24(animation, 3),
    width: 1 + u24(animation, 6),
    height: 1 + u24(animation, 9),
  };
  const stated = frame ?? canvas;
  if (stated.width !== width || stated.height !== height)
    throw damaged(`${stated.width}x${stated.height} pixels are announced, its picture has ${width}x${height}`);
  if (frame && (frame.left + width > canvas.width || frame.top + height > canvas.height))
    throw damaged('its picture lies outside its canvas');
  // libwebp looks for these only where the header announces them.
  const metadata = (flag: number, wanted: string) =>
    flags & flag ? all.find(({ name }) => name === wanted)?.body : undefined;
  return {
    format: 'webp',
    ...{ width, height, alpha, channels: 3 },
    orientation: orientationOf({ exif: metadata(0x08, 'EXIF'), xmp: metadata(0x04, 'XMP ') }),
    ...(frame && { canvas: { ...canvas, left: frame.left, top: frame.top } }),
    file: fileOf(picture),
  };
}

function chunks(bytes: Uint8Array, label: string): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Chunk[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (at + 8 + length > bytes.length) throw truncated(label);
    const name = String.fromCharCode(...bytes.subarray(at, at + 4));
    found.push({ name, body: bytes.subarray(at + 8, at + 8 + length) });
    at += 8 + length + (length & 1);
  }
  return found;
}

function pictureSize({ name, body }: Chunk, label: string) {
  if (body.length < 10) throw truncated(label);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (name === 'VP8 ') {
    const dimension = (at: number) => view.getUint16(at, true) & 0x3fff;
    return { width: dimension(6), height: dimension(8), alpha: false };
  }
  const bits = view.getUint32(1, true);
  return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff), alpha: (body[4] & 0x10) !== 0 };
}

function fileOf({ name, body }: Chunk): Uint8Array {
  const padded = body.length + (body.length & 1);
  const file = new Uint8Array(20 + padded);
  const view = new DataView(file.buffer);
  const text = (at: number, value: string) => file.set(new TextEncoder().encode(value), at);
  text(0, 'RIFF');
  view.setUint32(4, 12 + padded, true);
  text(8, 'WEBP');
  text(12, name);
  view.setUint32(16, body.length, true);
  file.set(body, 20);
  return file;
}

const u24 = (bytes: Uint8Array, at: number) => bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
