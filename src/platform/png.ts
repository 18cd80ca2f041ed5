import { crc32 } from './crc32.ts';
import { ImageError } from './errors.ts';
import { orient, orientationOf } from './exif.ts';
import { checkSize, defaultMaxPixels, truncated } from './limits.ts';
import { PngMetadata } from './png-metadata.ts';
import type { RgbImage } from './types.ts';

// One PNG decoder for Node and browsers, because neither's own gives the stored values: canvases multiply colour by
// alpha and lose it where alpha is 0, browsers turn 16 bits into 8 each in its own way, and PIL has a third.

const samplesPerPixel: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const depths: Record<number, number[]> = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
/** Adam7: start and step of each pass, in x and y. */
const adam7 = [
  [0, 8, 0, 8],
  [4, 8, 0, 8],
  [0, 4, 4, 8],
  [2, 4, 0, 4],
  [0, 2, 2, 4],
  [1, 2, 0, 2],
  [0, 1, 1, 2],
] as const;

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
  readonly interlaced: boolean;
}

interface Pass {
  readonly columns: number;
  readonly rows: number;
  readonly x0: number;
  readonly dx: number;
  readonly y0: number;
  readonly dy: number;
}

/**
 * Decodes a PNG (W3C PNG, third edition) to the RGB that PIL's `exif_transpose` and `convert('RGB')` make of it:
 * alpha, tRNS, gamma and colour profiles are dropped without effect; 16-bit RGB keeps its high bytes; 16-bit greyscale
 * is *clipped* to 255 (PIL's mode I;16 is a number, not a share of white).
 * @throws ImageError for a truncated or damaged file, or more than `maxPixels`.
 */
export async function decodePng(bytes: Uint8Array, label: string, maxPixels = defaultMaxPixels): Promise<RgbImage> {
  const { header, palette, metadata, compressed } = readChunks(bytes, label, maxPixels);
  const bits = header.depth * samplesPerPixel[header.colour];
  const passes = header.interlaced
    ? adam7.map(([x0, dx, y0, dy]) => pass(header, x0, dx, y0, dy)).filter((p) => p.columns > 0 && p.rows > 0)
    : [pass(header, 0, 1, 0, 1)];
  const rowBytes = (p: Pass) => Math.ceil((p.columns * bits) / 8);
  const size = passes.reduce((total, p) => total + p.rows * (1 + rowBytes(p)), 0);
  const raw = await inflate(compressed, size, label);

  const data = new Uint8Array(header.width * header.height * 3);
  const step = Math.max(1, bits >> 3);
  let at = 0;
  for (const p of passes) {
    const length = rowBytes(p);
    let above: Uint8Array = new Uint8Array(length);
    for (let row = 0; row < p.rows; row++) {
      const filter = raw[at];
      const line = raw.subarray(at + 1, at + 1 + length);
      unfilter(filter, line, above, step, label);
      const out = ((p.y0 + row * p.dy) * header.width + p.x0) * 3;
      writeRow(header, palette, line, p.columns, data, out, p.dx * 3);
      above = line;
      at += 1 + length;
    }
  }
  const image = { width: header.width, height: header.height, data };
  return orient(image, orientationOf(await metadata.sources()));
}

/** The size of what a PNG decodes to, and how it is to be turned then. @throws ImageError as `decodePng`, but for pixels. */
export async function readPng(bytes: Uint8Array, label: string, maxPixels: number) {
  const { header, metadata } = readChunks(bytes, label, maxPixels);
  return { width: header.width, height: header.height, orientation: orientationOf(await metadata.sources()) };
}

function pass({ width, height }: Header, x0: number, dx: number, y0: number, dy: number): Pass {
  return { columns: Math.ceil((width - x0) / dx), rows: Math.ceil((height - y0) / dy), x0, dx, y0, dy };
}

function readChunks(bytes: Uint8Array, label: string, maxPixels: number) {
  if (bytes.length < 33) throw truncated(label);
  const damaged = (what: string) => new ImageError(`${label}: damaged PNG, ${what}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  checkSize({ width: view.getUint32(16), height: view.getUint32(20) }, label, maxPixels);
  let header: Header | undefined;
  let palette: Uint8Array | undefined;
  const metadata = new PngMetadata(label);
  const compressed: Uint8Array[] = [];
  for (let at = 8, end = false; !end; ) {
    if (at + 12 > bytes.length) throw truncated(label);
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) throw truncated(label);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    const critical = (bytes[at + 4] & 0x20) === 0;
    if (critical && crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length))
      throw damaged(`the checksum of ${JSON.stringify(type)} does not match`);
    if (!header && type !== 'IHDR') throw damaged('it does not begin with IHDR');
    if (type === 'IHDR') {
      if (header || length !== 13) throw damaged('IHDR');
      const [depth, colour, compression, filter, interlace] = body.subarray(8);
      if (!depths[colour]?.includes(depth)) throw damaged(`colour type ${colour} with ${depth} bits`);
      if (compression !== 0 || filter !== 0 || interlace > 1) throw damaged('unknown compression, filter or interlace');
      const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      header = { width, height, depth, colour, interlaced: interlace === 1 };
    } else if (type === 'PLTE') {
      if (length === 0 || length % 3 !== 0 || length > 768) throw damaged(`PLTE of ${length} bytes`);
      palette = new Uint8Array(768); // entries that are missing are black, as in PIL
      palette.set(body);
    } else if (type === 'IDAT') compressed.push(body);
    else if (type === 'IEND') end = true;
    else if (critical) throw damaged(`unknown critical chunk ${JSON.stringify(type)}`);
    else if (type === 'fcTL' && compressed.length === 0) checkFirstFrame(header!, body, damaged);
    else metadata.take(type, body, compressed.length > 0);
    at += 12 + length;
  }
  if (header!.colour === 3 && !palette) throw damaged('it has no palette');
  return { header: header!, palette, metadata, compressed };
}

/** Of an animation whose first frame is the picture itself: it covers it (W3C PNG, third edition, fcTL). */
function checkFirstFrame({ width, height }: Header, body: Uint8Array, damaged: (what: string) => ImageError): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const isWhole = body.length >= 26 && [4, 8, 12, 16].every((at, i) => view.getUint32(at) === [width, height, 0, 0][i]);
  if (!isWhole) throw damaged('its first frame does not cover it');
}

/** Exactly `size` bytes: never more, whatever the file would unpack to. */
async function inflate(compressed: Uint8Array[], size: number, label: string): Promise<Uint8Array> {
  const out = new Uint8Array(size);
  const stream = new Blob(compressed as BlobPart[]).stream().pipeThrough(new DecompressionStream('deflate'));
  const reader = stream.getReader();
  let at = 0;
  try {
    while (at < size) {
      const { done, value } = await reader.read();
      if (done) break;
      out.set(value.length > size - at ? value.subarray(0, size - at) : value, at);
      at += Math.min(value.length, size - at);
    }
  } catch (e) {
    throw new ImageError(`${label}: damaged PNG, its compressed data is broken (${(e as Error).message})`);
  }
  await reader.cancel().catch(() => {}); // what follows the picture is of no interest
  if (at < size) throw truncated(label);
  return out;
}

/** Undoes a row's filter in place; `step` is the distance in bytes to the pixel on the left. */
function unfilter(filter: number, line: Uint8Array, above: Uint8Array, step: number, label: string): void {
  const n = line.length;
  if (filter === 1) for (let i = step; i < n; i++) line[i] += line[i - step];
  else if (filter === 2) for (let i = 0; i < n; i++) line[i] += above[i];
  else if (filter === 3) {
    for (let i = 0; i < n; i++) line[i] += ((i < step ? 0 : line[i - step]) + above[i]) >> 1;
  } else if (filter === 4) {
    for (let i = 0; i < n; i++) {
      const a = i < step ? 0 : line[i - step];
      const b = above[i];
      const c = i < step ? 0 : above[i - step];
      const pa = Math.abs(b - c);
      const pb = Math.abs(a - c);
      const pc = Math.abs(a + b - 2 * c);
      line[i] += pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    }
  } else if (filter !== 0) throw new ImageError(`${label}: damaged PNG, a row has the unknown filter ${filter}`);
}

/** Writes one row as RGB; consecutive pixels go `stride` bytes apart. */
function writeRow(
  { depth, colour }: Header,
  palette: Uint8Array | undefined,
  line: Uint8Array,
  columns: number,
  out: Uint8Array,
  start: number,
  stride: number,
): void {
  const bytesPerSample = depth === 16 ? 2 : 1;
  const step = samplesPerPixel[colour] * bytesPerSample;
  const mask = (1 << depth) - 1;
  const perByte = 8 / depth;
  const scale = 255 / mask;
  for (let x = 0, i = 0, o = start; x < columns; x++, i += step, o += stride) {
    if (colour === 2 || colour === 6) {
      out[o] = line[i];
      out[o + 1] = line[i + bytesPerSample];
      out[o + 2] = line[i + 2 * bytesPerSample];
      continue;
    }
    let value: number;
    if (depth < 8) value = (line[Math.floor(x / perByte)] >> (8 - depth * ((x % perByte) + 1))) & mask;
    else if (depth === 16 && colour === 0) value = line[i] === 0 ? line[i + 1] : 255;
    else value = line[i];
    if (colour === 3) {
      out[o] = palette![value * 3];
      out[o + 1] = palette![value * 3 + 1];
      out[o + 2] = palette![value * 3 + 2];
    } else {
      if (depth < 8) value *= scale;
      out[o] = value;
      out[o + 1] = value;
      out[o + 2] = value;
    }
  }
}
