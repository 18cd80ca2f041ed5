import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { isExif, orientationOf } from './exif.ts';
import { truncated } from './limits.ts';

/** libvips's own limit; usual progressive files have ten or so. Each scan goes over the whole picture. */
const maxScans = 100;
const xmpName = 'http://ns.adobe.com/xap/1.0/\0';
/** The only ones that decoders act on and that are not metadata: JFIF, Adobe. */
const keptApps = [0xe0, 0xee];

/**
 * Walks the segments to the end-of-image marker (ITU-T T.81, annex B): some browsers show half a picture without it. What
 * decoders get is that picture without its metadata, so that none of them turns it.
 * @throws ImageError for a damaged or truncated file, or a kind of JPEG that decoders do not agree on.
 */
export function readJpeg(bytes: Uint8Array, label: string): EncodedImage {
  const damaged = (what: string) => new ImageError(`${label}: damaged JPEG, ${what}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frame: { width: number; height: number; channels: number } | undefined;
  const exif: Uint8Array[] = [];
  let xmp: Uint8Array | undefined;
  let scans = 0;
  const kept: Uint8Array[] = [];
  let at = 2;
  let keptTo = 0;
  for (;;) {
    // To the next marker: 0xff, any fill bytes 0xff, then a code that is neither a stuffed zero nor a restart marker.
    at = bytes.indexOf(0xff, at);
    if (at < 0) throw truncated(label);
    const start = at;
    while (bytes[at] === 0xff) at++;
    if (at >= bytes.length) throw truncated(label);
    const marker = bytes[at++];
    if (marker === 0x00 || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    if (marker === 0xd9) break;
    if (at + 2 > bytes.length) throw truncated(label);
    const length = view.getUint16(at);
    if (length < 2) throw damaged(`a segment of ${length} bytes`);
    if (at + length > bytes.length) throw truncated(label);
    const body = bytes.subarray(at + 2, at + length);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      if (length < 8) throw damaged(`a frame header of ${length} bytes`);
      // Decoders take the first, or the last before the data.
      if (frame) throw damaged('it has two frame headers');
      frame = { height: view.getUint16(at + 3), width: view.getUint16(at + 5), channels: bytes[at + 7] };
      if (bytes[at + 2] !== 8) throw new ImageError(`${label}: a JPEG of ${bytes[at + 2]} bits; convert it to 8`);
      if (![1, 3, 4].includes(frame.channels)) throw damaged(`${frame.channels} channels`);
    }
    if (marker === 0xda && ++scans > maxScans) throw damaged(`it has more than ${maxScans} scans`);
    if (marker === 0xe1 && scans === 0) {
      // An EXIF block too long for one segment goes on in the next.
      if (isExif(body)) exif.push(exif.length ? body.subarray(6) : body);
      else if (startsWith(body, xmpName)) xmp = body.subarray(xmpName.length);
    }
    at += length;
    if ((marker >= 0xe0 && marker <= 0xef && !keptApps.includes(marker)) || marker === 0xfe) {
      kept.push(bytes.subarray(keptTo, start));
      keptTo = at;
    }
  }
  if (!frame) throw damaged('it has no frame header');
  kept.push(bytes.subarray(keptTo, at));
  const orientation = orientationOf({ exif: exif.length ? joined(exif) : undefined, xmp });
  return { format: 'jpeg', ...frame, alpha: false, orientation, file: joined(kept) };
}

const startsWith = (bytes: Uint8Array, text: string) => String.fromCharCode(...bytes.subarray(0, text.length)) === text;

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
