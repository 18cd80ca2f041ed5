import type { OrientationSources } from './exif.ts';

interface Box {
  readonly type: string;
  /** What follows its header. */
  readonly start: number;
  readonly end: number;
}

/**
 * EXIF and XMP of a HEIF file (ISO 14496-12, 8.11: `meta` with `iinf` and `iloc`). What is damaged says nothing: whether the
 * picture is, its decoder says.
 */
export function heifMetadata(bytes: Uint8Array): OrientationSources {
  try {
    return readMetadata(bytes);
  } catch (e) {
    if (e instanceof RangeError) return {}; // of a DataView: beyond the file's end
    throw e;
  }
}

function readMetadata(bytes: Uint8Array): OrientationSources {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const meta = find(view, 0, bytes.length, 'meta');
  const inMeta = (type: string) => meta && find(view, meta.start + 4, meta.end, type);
  const [infos, locations] = [inMeta('iinf'), inMeta('iloc')];
  if (!infos || !locations) return {};
  const wanted = numbersOf(bytes, view, infos);
  const item = (id: number | undefined) =>
    id === undefined ? undefined : itemAt(bytes, view, locations, inMeta('idat')?.start ?? 0, id);
  const [exif, xmp] = [item(wanted.exif), item(wanted.xmp)];
  // EXIF begins with the distance of its TIFF block.
  return { exif: exif?.subarray(4 + new DataView(exif.buffer, exif.byteOffset, 4).getUint32(0)), xmp };
}

/** The numbers of the items that are EXIF and XMP. */
function numbersOf(bytes: Uint8Array, view: DataView, infos: Box): { exif?: number; xmp?: number } {
  const found: { exif?: number; xmp?: number } = {};
  const first = infos.start + (view.getUint8(infos.start) === 0 ? 6 : 8);
  for (const { type, start } of boxes(view, first, infos.end)) {
    const version = view.getUint8(start);
    if (type !== 'infe' || version < 2) continue;
    const wide = version === 2 ? 2 : 4;
    const kind = text(view, start + 6 + wide);
    const id = number(view, start + 4, wide);
    if (kind === 'Exif') found.exif = id;
    if (kind !== 'mime') continue;
    const name = bytes.indexOf(0, start + 10 + wide) + 1;
    const content = bytes.subarray(name, bytes.indexOf(0, name));
    if (new TextDecoder('latin1').decode(content) === 'application/rdf+xml') found.xmp = id;
  }
  return found;
}

/** The bytes of an item; of one that lies in pieces, the first. */
function itemAt(bytes: Uint8Array, view: DataView, { start }: Box, idat: number, id: number): Uint8Array | undefined {
  const version = view.getUint8(start);
  const [sizes, more] = [view.getUint8(start + 4), view.getUint8(start + 5)];
  const [offsetSize, lengthSize, baseSize] = [sizes >> 4, sizes & 15, more >> 4];
  const indexSize = version === 0 ? 0 : more & 15;
  const wide = version < 2 ? 2 : 4;
  let at = start + 6;
  const next = (size: number) => {
    at += size;
    return number(view, at - size, size);
  };
  for (let left = next(wide); left > 0; left--) {
    const own = next(wide);
    const inData = version > 0 && (next(2) & 15) === 1;
    next(2); // which file: this one
    const base = next(baseSize) + (inData ? idat : 0);
    const extents = next(2);
    if (own === id && extents > 0) {
      next(indexSize);
      const from = base + next(offsetSize);
      return bytes.subarray(from, from + next(lengthSize));
    }
    at += extents * (indexSize + offsetSize + lengthSize);
  }
  return undefined;
}

function* boxes(view: DataView, from: number, to: number): Generator<Box> {
  for (let at = from; at + 8 <= to; ) {
    const stated = view.getUint32(at);
    const header = stated === 1 ? 16 : 8;
    const size = stated === 1 ? number(view, at + 8, 8) : stated === 0 ? to - at : stated;
    if (size < header) return;
    yield { type: text(view, at + 4), start: at + header, end: Math.min(at + size, to) };
    at += size;
  }
}

function find(view: DataView, from: number, to: number, type: string): Box | undefined {
  for (const box of boxes(view, from, to)) if (box.type === type) return box;
  return undefined;
}

const text = (view: DataView, at: number): string =>
  String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

function number(view: DataView, at: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + view.getUint8(at + i);
  return value;
}
