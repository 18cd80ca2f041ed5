import { ImageError } from './errors.ts';
import { checkSize, truncated } from './limits.ts';
import type { RgbImage } from './types.ts';

/** How the channels of a pixel of 16, 24 or 32 bits lie in it, from red to blue: bits to shift, bits to keep. */
type Layout = readonly (readonly [shift: number, bits: number])[];

const bgr555: Layout = [[10, 5], [5, 5], [0, 5]]; // biome-ignore format: a table
const bgr888: Layout = [[16, 8], [8, 8], [0, 8]]; // biome-ignore format: a table

/**
 * Decodes a BMP of 1, 4, 8, 16, 24 or 32 bits as PIL does: alpha is dropped.
 * @throws ImageError for a compressed, truncated or damaged file, or more than `maxPixels`.
 */
export function decodeBmp(bytes: Uint8Array, label: string, maxPixels: number): RgbImage {
  const { width, height, bits, data, fromTop, palette, layout } = readBmp(bytes, label);
  checkSize({ width, height }, label, maxPixels);
  const stride = Math.ceil((width * bits) / 32) * 4;
  // PIL needs no padding after the last row.
  if (data + stride * (height - 1) + Math.ceil((width * bits) / 8) > bytes.length) throw truncated(label);
  const out = new Uint8Array(width * height * 3);
  let o = 0;
  for (let y = 0; y < height; y++) {
    const row = data + (fromTop ? y : height - 1 - y) * stride;
    for (let x = 0; x < width; x++) {
      if (palette) {
        const index = (bytes[row + ((x * bits) >> 3)] >> (8 - bits - ((x * bits) & 7))) & (2 ** bits - 1);
        for (let c = 0; c < 3; c++) out[o++] = palette[3 * index + c];
      } else {
        const at = row + (x * bits) / 8;
        let pixel = bytes[at] | (bytes[at + 1] << 8);
        if (bits > 16) pixel |= bytes[at + 2] << 16;
        if (bits > 24) pixel |= bytes[at + 3] << 24;
        for (const [shift, kept] of layout) {
          const most = 2 ** kept - 1;
          out[o++] = Math.floor((((pixel >>> shift) & most) * 255) / most);
        }
      }
    }
  }
  return { width, height, data: out };
}

/** What a BMP says of its pixels. @throws ImageError for a compressed, truncated or damaged header. */
export function readBmp(bytes: Uint8Array, label: string) {
  if (bytes.length < 26) throw truncated(label);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerSize = view.getUint32(14, true);
  const isOld = headerSize === 12;
  if (!isOld && ![40, 52, 56, 64, 108, 124].includes(headerSize))
    throw new ImageError(`${label}: damaged BMP, a header of ${headerSize} bytes`);
  if (14 + headerSize > bytes.length) throw truncated(label);
  const signedHeight = isOld ? view.getUint16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(isOld ? 24 : 28, true);
  const compression = isOld ? 0 : view.getUint32(30, true);
  const hasMasks = compression === 3;
  if (![1, 4, 8, 16, 24, 32].includes(bits) || (hasMasks && bits < 16))
    throw new ImageError(`${label}: a BMP of ${bits} bits a pixel; convert it to PNG`);
  if (compression !== 0 && !hasMasks)
    throw new ImageError(`${label}: a compressed BMP (kind ${compression}); convert it to PNG`);
  const masksAt = 54;
  let at = 14 + headerSize;
  let layout = bits === 16 ? bgr555 : bgr888;
  if (hasMasks) {
    if (masksAt + 12 > bytes.length) throw truncated(label);
    const masks = [0, 4, 8].map((i) => view.getUint32(masksAt + i, true));
    if (masks.some((mask) => mask !== 0)) layout = masks.map((mask) => channel(mask, label));
    if (headerSize === 40) at += 12;
  }
  let palette: Uint8Array | undefined;
  if (bits <= 8) {
    const entry = isOld ? 3 : 4;
    const colours = (isOld ? 0 : view.getUint32(46, true)) || 2 ** bits;
    if (colours > 65536) throw new ImageError(`${label}: damaged BMP, a palette of ${colours} colours`);
    if (at + colours * entry > bytes.length) throw truncated(label);
    palette = readPalette(bytes, at, entry, colours);
    at += colours * entry;
  }
  // Files that say that their pixels begin where the palette does mean: after it.
  const stated = view.getUint32(10, true);
  return {
    width: isOld ? view.getUint16(18, true) : view.getUint32(18, true),
    height: Math.abs(signedHeight),
    fromTop: signedHeight < 0,
    bits,
    palette,
    layout,
    data: stated === 0 || (stated === 14 + headerSize && palette) ? at : stated,
  };
}

/** As RGB, 256 entries; those that are missing are black. */
function readPalette(bytes: Uint8Array, at: number, entry: number, colours: number): Uint8Array {
  const palette = new Uint8Array(768);
  for (let i = 0; i < Math.min(colours, 256); i++)
    for (let c = 0; c < 3; c++) palette[3 * i + c] = bytes[at + i * entry + 2 - c];
  return palette;
}

function channel(mask: number, label: string): readonly [number, number] {
  const shift = 31 - Math.clz32(mask & -mask);
  const bits = 32 - Math.clz32(mask >>> Math.max(shift, 0));
  const isRun = mask !== 0 && bits <= 8 && mask >>> shift === 2 ** bits - 1;
  if (!isRun)
    throw new ImageError(`${label}: a BMP whose colours lie in no usual way (mask ${mask}); convert it to PNG`);
  return [shift, bits];
}
