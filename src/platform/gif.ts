import { ImageError } from './errors.ts';
import { checkSize, truncated } from './limits.ts';
import type { RgbImage } from './types.ts';

// Decoded here, because decoders do not agree on what lies outside the first picture or is transparent in it.

interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly interlaced: boolean;
  /** RGB; missing where the file has no palette, which means shades of grey. */
  readonly palette: Uint8Array | undefined;
  readonly transparent: number | undefined;
  /** Of the byte that gives the code size; the picture's data follows. */
  readonly data: number;
}

/**
 * Decodes the first picture of a GIF (GIF89a) as PIL does: on the whole screen, or more where the picture goes beyond it;
 * transparent pixels have their palette's colour, and so has what the picture leaves free (entry 0 without a transparent one).
 * @throws ImageError for a truncated or damaged file, or more than `maxPixels`.
 */
export function decodeGif(bytes: Uint8Array, label: string, maxPixels: number): RgbImage {
  const { width, height, frame } = readGif(bytes, label);
  checkSize({ width, height }, label, maxPixels);
  const indices = unpack(bytes, frame, label);

  const colours = new Uint8Array(768);
  if (frame.palette) colours.set(frame.palette);
  else for (let i = 0; i < 768; i++) colours[i] = Math.floor(i / 3);
  const data = new Uint8Array(width * height * 3);
  const paint = (index: number, at: number) => {
    data[at] = colours[3 * index];
    data[at + 1] = colours[3 * index + 1];
    data[at + 2] = colours[3 * index + 2];
  };
  if (frame.width !== width || frame.height !== height)
    for (let at = 0; at < data.length; at += 3) paint(frame.transparent ?? 0, at);
  let i = 0;
  for (const row of rows(frame))
    for (let x = 0, at = ((frame.top + row) * width + frame.left) * 3; x < frame.width; x++, at += 3)
      paint(indices[i++], at);
  return { width, height, data };
}

/** The size of a GIF's screen, and its first picture. @throws ImageError for a file that is damaged or cut short before it. */
export function readGif(bytes: Uint8Array, label: string) {
  if (bytes.length < 14) throw truncated(label);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frame = firstFrame(bytes, view, label);
  const width = Math.max(view.getUint16(6, true), frame.left + frame.width);
  const height = Math.max(view.getUint16(8, true), frame.top + frame.height);
  return { width, height, frame };
}

function firstFrame(bytes: Uint8Array, view: DataView, label: string): Frame {
  const palette = (flags: number, at: number) =>
    flags & 0x80 ? bytes.subarray(at, at + 3 * 2 ** ((flags & 7) + 1)) : undefined;
  const screen = palette(bytes[10], 13);
  let transparent: number | undefined;
  let at = 13 + (screen?.length ?? 0);
  while (at < bytes.length) {
    const kind = bytes[at++];
    if (kind === 0x3b) throw new ImageError(`${label}: damaged GIF, it has no picture`);
    if (kind === 0x21) {
      const isGraphicControl = bytes[at] === 0xf9 && bytes[at + 1] >= 4;
      if (isGraphicControl && bytes[at + 2] & 1) transparent = bytes[at + 5];
      at += 1;
      while (bytes[at] > 0) at += 1 + bytes[at];
      at += 1;
    } else if (kind === 0x2c) {
      if (at + 10 > bytes.length) throw truncated(label);
      const [left, top, width, height] = [0, 2, 4, 6].map((i) => view.getUint16(at + i, true));
      if (width === 0 || height === 0) throw new ImageError(`${label}: damaged GIF, its picture has no pixels`);
      const own = palette(bytes[at + 8], at + 9);
      const data = at + 9 + (own?.length ?? 0);
      const interlaced = (bytes[at + 8] & 0x40) !== 0;
      return { left, top, width, height, interlaced, palette: shades(own ?? screen), transparent, data };
    }
  }
  throw truncated(label);
}

/** PIL takes a palette whose every entry is its own number for none. */
function shades(palette: Uint8Array | undefined): Uint8Array | undefined {
  return palette?.every((value, i) => value === Math.floor(i / 3)) ? undefined : palette;
}

/** Rows in the order in which they are stored. */
function* rows({ height, interlaced }: Frame): Generator<number> {
  const passes = interlaced ? ([[0, 8], [4, 8], [2, 4], [1, 2]] as const) : ([[0, 1]] as const); // biome-ignore format: a table
  for (const [first, step] of passes) for (let row = first; row < height; row += step) yield row;
}

/** Exactly width x height palette indices, by LZW with codes of up to 12 bits. */
function unpack(bytes: Uint8Array, { width, height, data }: Frame, label: string): Uint8Array {
  if (data >= bytes.length) throw truncated(label);
  const codeSize = bytes[data];
  const damaged = () => new ImageError(`${label}: damaged GIF, its compressed data is broken`);
  if (codeSize > 11) throw damaged();
  const clear = 2 ** codeSize;
  const prefix = new Uint16Array(4096);
  const last = new Uint8Array(4096);
  const length = new Uint16Array(4096);
  for (let i = 0; i < clear; i++) {
    last[i] = i;
    length[i] = 1;
  }
  const out = new Uint8Array(width * height);
  let filled = 0;
  let next = clear + 2;
  let codeWidth = codeSize + 1;
  let before = -1;
  let first = 0;
  let bits = 0;
  let held = 0;
  let at = data + 1;
  let blockEnd = at;
  while (filled < out.length) {
    while (held < codeWidth) {
      if (at === blockEnd) {
        const size = bytes[at++];
        if (!(size > 0)) throw truncated(label);
        blockEnd = at + size;
      }
      if (at >= bytes.length) throw truncated(label);
      bits |= bytes[at++] << held;
      held += 8;
    }
    const code = bits & (2 ** codeWidth - 1);
    bits >>>= codeWidth;
    held -= codeWidth;
    if (code === clear) {
      next = clear + 2;
      codeWidth = codeSize + 1;
      before = -1;
      continue;
    }
    if (code === clear + 1) throw truncated(label);
    if (before < 0 ? code > clear : code > next) throw damaged();
    // A code that is not known yet is what came before, and its first index once more.
    const known = before < 0 || code < next;
    let entry = known ? code : before;
    const count = length[entry] + (known ? 0 : 1);
    let to = filled + count;
    if (!known) {
      to -= 1;
      if (to < out.length) out[to] = first;
    }
    for (; ; entry = prefix[entry]) {
      to -= 1;
      if (to < out.length) out[to] = last[entry];
      if (length[entry] === 1) break;
    }
    first = last[entry];
    filled += count;
    if (before >= 0 && next < 4096) {
      prefix[next] = before;
      last[next] = first;
      length[next] = length[before] + 1;
      next += 1;
      if (next === 2 ** codeWidth && codeWidth < 12) codeWidth += 1;
    }
    before = code;
  }
  return out;
}
