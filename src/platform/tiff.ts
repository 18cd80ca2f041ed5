import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { orientationOf, orientationTag, tiffDirectory, tiffNumbers } from './exif.ts';
import { truncated } from './limits.ts';

const tags = {
  ...{ width: 256, height: 257, bits: 258, compression: 259, photometric: 262, samples: 277 },
  ...{ tileWidth: 322, tileHeight: 323, format: 339, xmp: 700 },
};
/** None, CCITT, LZW, JPEG, deflate (two numbers), PackBits: what libvips has been built with. */
const compressions = [1, 2, 3, 4, 5, 7, 8, 32773, 32946];

/**
 * Reads the first directory of a TIFF (TIFF 6.0). What decoders get has no orientation: they do not agree on who applies it.
 * @throws ImageError for a damaged or truncated file, or a kind of TIFF whose colours PIL and libvips do not agree on.
 */
export function readTiff(bytes: Uint8Array, label: string): EncodedImage {
  const unusual = (what: string) => new ImageError(`${label}: a TIFF with ${what}; convert it to PNG`);
  if (bytes[2] === 43 || bytes[3] === 43) throw unusual('64-bit offsets (BigTIFF)');
  const directory = tiffDirectory(bytes);
  if (!directory) throw truncated(label);
  const values = (tag: number) => {
    const entry = directory.entries.get(tag);
    return entry && tiffNumbers(directory, { ...entry, count: Math.min(entry.count, 8) });
  };
  const [width, height] = [values(tags.width)?.[0], values(tags.height)?.[0]];
  if (width === undefined || height === undefined)
    throw new ImageError(`${label}: damaged TIFF, it does not say its size`);
  const bits = values(tags.bits) ?? [1];
  const photometric = values(tags.photometric)?.[0] ?? 0;
  const compression = values(tags.compression)?.[0] ?? 1;
  const [tileWidth, tileHeight] = [values(tags.tileWidth)?.[0] ?? 0, values(tags.tileHeight)?.[0] ?? 0];
  if (!compressions.includes(compression)) throw unusual(`compression ${compression}`);
  const isKnown = photometric <= 3 || photometric === 5 || (photometric === 6 && compression === 7);
  const is16BitGrey = bits[0] === 16 && photometric <= 1;
  const isUsual = bits.every((n) => n === bits[0]) && ([1, 2, 4, 8].includes(bits[0]) || is16BitGrey);
  if (!isKnown || !isUsual || (values(tags.format)?.[0] ?? 1) !== 1)
    throw unusual(`pixels of an unusual kind (photometric ${photometric}, ${bits.join(', ')} bits)`);
  if (tileWidth * tileHeight > 2 ** 24) throw unusual(`tiles of ${tileWidth}x${tileHeight} pixels`);
  const xmp = directory.entries.get(tags.xmp);
  const file = withoutOrientation(bytes, directory.view, directory.littleEndian);
  return {
    format: 'tiff',
    ...{ width, height, file, clipped: is16BitGrey },
    channels: photometric === 5 ? 4 : 3,
    alpha: false,
    orientation: orientationOf({ exif: bytes, xmp: xmp && bytes.subarray(xmp.offset, xmp.offset + xmp.count) }),
  };
}

/** Its value becomes 1, upright. */
function withoutOrientation(bytes: Uint8Array, view: DataView, littleEndian: boolean): Uint8Array {
  const copy = bytes.slice();
  const target = new DataView(copy.buffer);
  const at = view.getUint32(4, littleEndian);
  const count = at + 2 <= bytes.length ? view.getUint16(at, littleEndian) : 0;
  for (let i = 0, entry = at + 2; i < count && entry + 12 <= bytes.length; i++, entry += 12)
    if (view.getUint16(entry, littleEndian) === orientationTag) target.setUint16(entry + 8, 1, littleEndian);
  return copy;
}
