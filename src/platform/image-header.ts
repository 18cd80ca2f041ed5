import { ImageError } from './errors.ts';
import { exifOrientation } from './exif.ts';

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif';

/** What can be said of an image file before any pixel is decoded. */
export interface ImageHeader {
  readonly format: ImageFormat;
  /** As stored, before EXIF orientation. */
  readonly width: number;
  readonly height: number;
  /** 4 for a CMYK JPEG. */
  readonly channels: number;
  /** Whether the platform's decoder gives partly transparent pixels: of a lossless WebP only (PNG is decoded here). */
  readonly alpha: boolean;
  /** EXIF orientation, 1 to 8 (of JPEG and WebP; PNG's decoder reads its own). */
  readonly orientation: number;
  /** Bytes to change in the file before a decoder sees it, so that every decoder gives the pixels as stored. */
  readonly patches: readonly Patch[];
}

interface Patch {
  readonly offset: number;
  readonly byte: number;
}

/** The file with its patches applied. */
export function patched(bytes: Uint8Array, { patches }: ImageHeader): Uint8Array {
  if (patches.length === 0) return bytes;
  const copy = bytes.slice();
  for (const { offset, byte } of patches) copy[offset] = byte;
  return copy;
}

/** 64 Mpixel: 192 MiB of RGB, above what cameras make. */
export const defaultMaxPixels = 2 ** 26;

/** The most that JPEG and GIF can say. */
const maxSide = 65535;

/**
 * Reads format, size and orientation, and checks that the file is whole as far as its structure tells.
 * Formats are those that decode to the same pixels in Node and in browsers.
 * @param label names the image in errors: a file name as the user gave it.
 * @throws ImageError for another format, a truncated or damaged file, or more than `maxPixels`.
 */
export function readImageHeader(bytes: Uint8Array, label: string, maxPixels: number): ImageHeader {
  const header = sniff(bytes, label);
  const { width, height } = header;
  if (width === 0 || height === 0) throw new ImageError(`${label}: the image has no pixels (${width}x${height})`);
  if (Math.max(width, height) > maxSide)
    throw new ImageError(`${label}: ${width}x${height} pixels; ${maxSide} on a side are the most`);
  if (width * height > maxPixels)
    throw new ImageError(
      `${label}: ${width}x${height} pixels are more than the ${maxPixels} allowed; make the image smaller or raise maxPixels`,
    );
  return header;
}

function sniff(bytes: Uint8Array, label: string): ImageHeader {
  if (text(bytes, 0, 4) === '\x89PNG') return png(bytes, label);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpeg(bytes, label);
  if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 8, 4) === 'WEBP') return webp(bytes, label);
  if (/^GIF8[79]a/.test(text(bytes, 0, 6))) return gif(bytes, label);
  throw new ImageError(`${label}: not a PNG, JPEG, WebP or GIF image; convert it to one of them`);
}

const text = (bytes: Uint8Array, start: number, length: number) =>
  String.fromCharCode(...bytes.subarray(start, start + length));

export const truncated = (label: string) => new ImageError(`${label}: the image file is truncated`);

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function png(bytes: Uint8Array, label: string): ImageHeader {
  if (bytes.length < 33) throw truncated(label);
  const view = viewOf(bytes);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  return { format: 'png', width, height, channels: 3, alpha: false, orientation: 1, patches: [] };
}

/**
 * Walks the blocks before the first picture (GIF89a). A transparent colour is made opaque: decoders paint it black or
 * leave it out, PIL keeps the palette's entry.
 */
function gif(bytes: Uint8Array, label: string): ImageHeader {
  if (bytes.length < 14) throw truncated(label);
  const view = viewOf(bytes);
  const patches: Patch[] = [];
  const colours = (flags: number) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let at = 13 + colours(bytes[10]);
  while (bytes[at] === 0x21) {
    const isGraphicControl = bytes[at + 1] === 0xf9 && bytes[at + 2] === 4;
    if (isGraphicControl && bytes[at + 3] & 1) patches.push({ offset: at + 3, byte: bytes[at + 3] & ~1 });
    at += 2;
    while (bytes[at] > 0) at += 1 + bytes[at];
    at += 1;
  }
  if (at >= bytes.length) throw truncated(label);
  if (bytes[at] !== 0x2c) throw new ImageError(`${label}: damaged GIF, it has no picture`);
  const [width, height] = [view.getUint16(6, true), view.getUint16(8, true)];
  return { format: 'gif', width, height, channels: 3, alpha: false, orientation: 1, patches };
}

/** Walks the segments to the end-of-image marker (ITU-T T.81, annex B): some browsers show half a picture without it. */
function jpeg(bytes: Uint8Array, label: string): ImageHeader {
  const view = viewOf(bytes);
  let frame: { width: number; height: number; channels: number } | undefined;
  let orientation: Turn | undefined;
  let at = 2;
  for (;;) {
    // To the next marker: 0xff, any fill bytes 0xff, then a code that is neither a stuffed zero nor a restart marker.
    at = bytes.indexOf(0xff, at);
    if (at < 0) throw truncated(label);
    while (bytes[at] === 0xff) at++;
    if (at >= bytes.length) throw truncated(label);
    const marker = bytes[at++];
    if (marker === 0x00 || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    if (marker === 0xd9) break;
    if (at + 2 > bytes.length) throw truncated(label);
    const length = view.getUint16(at);
    if (length < 2) throw new ImageError(`${label}: damaged JPEG, a segment of ${length} bytes`);
    if (at + length > bytes.length) throw truncated(label);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      if (length < 8) throw new ImageError(`${label}: damaged JPEG, a frame header of ${length} bytes`);
      frame = { height: view.getUint16(at + 3), width: view.getUint16(at + 5), channels: bytes[at + 7] };
    }
    if (marker === 0xe1 && !orientation && text(bytes, at + 2, 6) === 'Exif\0\0')
      orientation = orientationIn(bytes, at + 8, at + length);
    at += length;
  }
  if (!frame) throw new ImageError(`${label}: damaged JPEG, it has no frame header`);
  const { value, patches } = orientation ?? asStored;
  return { format: 'jpeg', ...frame, alpha: false, orientation: value, patches };
}

/**
 * Walks the RIFF chunks (WebP container specification). The alpha of a lossy picture is patched away: the flag that
 * announces it, and the chunk that holds it, which gets a name that decoders skip. What they then give are the colours as
 * stored. A lossless picture holds alpha in each pixel, where it stays.
 */
function webp(bytes: Uint8Array, label: string): ImageHeader {
  const view = viewOf(bytes);
  if (bytes.length < 30) throw truncated(label);
  const end = 8 + view.getUint32(4, true);
  if (end > bytes.length) throw truncated(label);
  let size: { width: number; height: number } | undefined;
  let orientation: Turn | undefined;
  let alpha = false;
  const alphaFlag: Patch[] = [];
  const alphaChunk: Patch[] = [];
  for (let at = 12; at + 8 <= end; ) {
    const name = text(bytes, at, 4);
    const length = view.getUint32(at + 4, true);
    const data = at + 8;
    if (data + length > end) throw truncated(label);
    if (name === 'VP8X' && length >= 10) {
      const u24 = (i: number) => view.getUint16(i, true) | (bytes[i + 2] << 16);
      size = { width: 1 + u24(data + 4), height: 1 + u24(data + 7) };
      const [animated, transparent] = [bytes[data] & 0x02, bytes[data] & 0x10];
      if (animated && transparent)
        throw new ImageError(`${label}: an animated WebP with transparency; save the picture that you want alone`);
      if (transparent) alphaFlag.push({ offset: data, byte: bytes[data] & ~0x10 });
    } else if (name === 'VP8L' && length >= 5) {
      const bits = view.getUint32(data + 1, true);
      size ??= { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
      alpha = (bytes[data + 4] & 0x10) !== 0;
    } else if (name === 'VP8 ' && length >= 10) {
      const dimension = (i: number) => view.getUint16(i, true) & 0x3fff;
      size ??= { width: dimension(data + 6), height: dimension(data + 8) };
    } else if (name === 'ALPH') {
      alphaChunk.push({ offset: at, byte: 'x'.charCodeAt(0) });
    } else if (name === 'EXIF' && !orientation) {
      orientation = orientationIn(bytes, data + (text(bytes, data, 6) === 'Exif\0\0' ? 6 : 0), data + length);
    }
    at = data + length + (length & 1);
  }
  if (!size) throw new ImageError(`${label}: damaged WebP, it has no picture`);
  const { value, patches: upright } = orientation ?? asStored;
  const patches = alpha ? upright : [...alphaFlag, ...alphaChunk, ...upright];
  return { format: 'webp', ...size, channels: 3, alpha, orientation: value, patches };
}

type Turn = { readonly value: number; readonly patches: readonly Patch[] };

/** The orientation of an EXIF block at [start, end) of the file, and what sets it to 1, upright. */
function orientationIn(bytes: Uint8Array, start: number, end: number): Turn | undefined {
  const found = exifOrientation(bytes.subarray(start, end));
  if (!found) return undefined;
  const [first, second] = found.littleEndian ? [1, 0] : [0, 1];
  const offset = start + found.offset;
  return {
    value: found.value,
    patches: [
      { offset, byte: first },
      { offset: offset + 1, byte: second },
    ],
  };
}

const asStored: Turn = { value: 1, patches: [] };
