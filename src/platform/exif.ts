import type { PixelSize, RgbImage } from './types.ts';

/** Bytes of a value of each TIFF type (TIFF 6.0, section 2; 13 and 16 are later). */
const typeSizes: Record<number, number> = {
  ...{ 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8 },
};

/** One entry of a TIFF directory. */
export interface TiffEntry {
  readonly type: number;
  readonly count: number;
  /** Of its values, from the start of the block. */
  readonly offset: number;
}

export interface TiffDirectory {
  readonly view: DataView;
  readonly littleEndian: boolean;
  readonly entries: ReadonlyMap<number, TiffEntry>;
}

/**
 * The first directory of a TIFF block (TIFF 6.0, section 2), which is what EXIF is. Of a damaged directory, what stands before
 * the damage, as PIL's `ImageFileDirectory_v2.load` has it.
 * @returns undefined for bytes that do not begin like a TIFF block.
 */
export function tiffDirectory(tiff: Uint8Array): TiffDirectory | undefined {
  if (tiff.length < 8) return undefined;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const order = view.getUint16(0);
  const littleEndian = order === 0x4949;
  // PIL also takes 42 in the wrong byte order.
  if ((!littleEndian && order !== 0x4d4d) || ![0x002a, 0x2a00].includes(view.getUint16(2))) return undefined;
  const entries = new Map<number, TiffEntry>();
  const directory = view.getUint32(4, littleEndian);
  const count = directory + 2 <= tiff.length ? view.getUint16(directory, littleEndian) : 0;
  for (let i = 0, at = directory + 2; i < count && at + 12 <= tiff.length; i++, at += 12) {
    const type = view.getUint16(at + 2, littleEndian);
    const size = view.getUint32(at + 4, littleEndian) * (typeSizes[type] ?? 0);
    if (size === 0) continue;
    const offset = size > 4 ? view.getUint32(at + 8, littleEndian) : at + 8;
    if (offset + size > tiff.length) break;
    entries.set(view.getUint16(at, littleEndian), { type, count: view.getUint32(at + 4, littleEndian), offset });
  }
  return { view, littleEndian, entries };
}

/** The values of an entry as numbers; none of those that are text or bytes of no type (ASCII, UNDEFINED). */
export function tiffNumbers({ view, littleEndian }: TiffDirectory, { type, count, offset }: TiffEntry): number[] {
  const read: Record<number, (at: number) => number> = {
    1: (at) => view.getUint8(at),
    3: (at) => view.getUint16(at, littleEndian),
    4: (at) => view.getUint32(at, littleEndian),
    5: (at) => view.getUint32(at, littleEndian) / view.getUint32(at + 4, littleEndian),
    6: (at) => view.getInt8(at),
    8: (at) => view.getInt16(at, littleEndian),
    9: (at) => view.getInt32(at, littleEndian),
    10: (at) => view.getInt32(at, littleEndian) / view.getInt32(at + 4, littleEndian),
    11: (at) => view.getFloat32(at, littleEndian),
    12: (at) => view.getFloat64(at, littleEndian),
    13: (at) => view.getUint32(at, littleEndian),
    16: (at) => Number(view.getBigUint64(at, littleEndian)),
  };
  const one = read[type];
  return one ? Array.from({ length: count }, (_, i) => one(offset + i * typeSizes[type])) : [];
}

/** Where a file may say how its picture is to be turned. */
export interface OrientationSources {
  /** A TIFF block, perhaps behind `Exif\0\0`. */
  readonly exif?: Uint8Array;
  readonly xmp?: Uint8Array;
}

/**
 * The orientation, 1 to 8, that PIL's `ImageOps.exif_transpose` acts on: EXIF's where that has one, whatever its value, else
 * XMP's. What is damaged or means nothing is 1, upright: the picture is fine without it.
 */
export function orientationOf({ exif, xmp }: OrientationSources): number {
  const tiff = withoutPrefix(exif ?? new Uint8Array());
  if (tiff.length > 0) {
    const directory = tiffDirectory(tiff);
    // PIL reads no XMP beside an EXIF block that it cannot read.
    if (!directory) return 1;
    const entry = directory.entries.get(orientationTag);
    if (entry) return valid(entry.type === 1 ? 1 : tiffNumbers(directory, { ...entry, count: 1 })[0]);
  }
  return valid(xmp && xmpOrientation(xmp));
}

/** Whether a TIFF block, perhaps behind `Exif\0\0`, has an orientation, whatever its value. */
export const hasOrientation = (exif: Uint8Array): boolean =>
  tiffDirectory(withoutPrefix(exif))?.entries.has(orientationTag) ?? false;

function withoutPrefix(exif: Uint8Array): Uint8Array {
  let tiff = exif;
  while (isExif(tiff)) tiff = tiff.subarray(6);
  return tiff;
}

export const orientationTag = 0x0112;

const valid = (value: number | undefined) => (value !== undefined && [2, 3, 4, 5, 6, 7, 8].includes(value) ? value : 1);

export const isExif = (bytes: Uint8Array) => String.fromCharCode(...bytes.subarray(0, 6)) === 'Exif\0\0';

/** `tiff:Orientation` as an attribute or an element, by the pattern of PIL's `Image.getexif`. */
function xmpOrientation(xmp: Uint8Array): number | undefined {
  const match = /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder('latin1').decode(xmp));
  return match ? Number(match[1]) : undefined;
}

/** The size of a picture that has been turned so. */
export const turnedSize = ({ width, height }: PixelSize, orientation: number): PixelSize =>
  orientation >= 5 ? { width: height, height: width } : { width, height };

/** Turns a picture as its orientation (1 to 8) says; PIL's `ImageOps.exif_transpose`. */
export function orient(image: RgbImage, orientation: number): RgbImage {
  if (orientation === 1) return image;
  const { width, height, data } = image;
  const transposed = orientation >= 5;
  const flipX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const flipY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  const turned = turnedSize(image, orientation);
  const out = new Uint8Array(data.length);
  let o = 0;
  for (let y = 0; y < turned.height; y++) {
    for (let x = 0; x < turned.width; x++) {
      const u = transposed ? y : x;
      const v = transposed ? x : y;
      let i = ((flipY ? height - 1 - v : v) * width + (flipX ? width - 1 - u : u)) * 3;
      out[o++] = data[i++];
      out[o++] = data[i++];
      out[o++] = data[i];
    }
  }
  return { ...turned, data: out };
}
