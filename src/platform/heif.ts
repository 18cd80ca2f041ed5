import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { hasOrientation, orientationOf } from './exif.ts';
import { heifMetadata } from './heif-items.ts';
import { truncated } from './limits.ts';

/**
 * Reads what an AVIF (ISO 23000-22) says of its size. Its turns (irot, imir) are properties of the picture that every decoder
 * applies, and to which PIL gives precedence over EXIF, so width and height here are those after them. EXIF says nothing, not
 * even where there are none; XMP does, where neither they nor EXIF speak of an orientation.
 * @throws ImageError for HEIC, which no decoder here knows, for sequences, and for a damaged file.
 */
export function readHeif(bytes: Uint8Array, label: string): EncodedImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  const brands: string[] = [];
  for (let at = 8; at + 4 <= Math.min(view.getUint32(0), bytes.length, 256); at += 4) brands.push(text(at));
  if (!brands.includes('avif')) {
    const isHeic = brands.some((brand) => /^(hei|hev|mif1|msf1)/.test(brand));
    throw new ImageError(
      isHeic
        ? `${label}: HEIC is not decoded here; convert it to JPEG or PNG`
        : `${label}: a file of the kind '${brands[0] ?? ''}', not a picture; convert it to PNG, or give a video as a video`,
    );
  }
  if (brands[0] === 'avis') throw new ImageError(`${label}: an animated AVIF; save the picture that you want alone`);
  let size: { width: number; height: number } | undefined;
  let turned = false;
  let upright = true;
  for (let at = 0; at + 20 <= bytes.length; at++) {
    const type = bytes[at + 4] === 0x69 ? text(at + 4) : '';
    if (type === 'ispe' && view.getUint32(at) === 20) {
      const [width, height] = [view.getUint32(at + 12), view.getUint32(at + 16)];
      // The largest of all: of a grid, the whole; of others, the picture beside its alpha and thumbnails.
      if (!size || width * height > size.width * size.height) size = { width, height };
    } else if ((type === 'irot' || type === 'imir') && view.getUint32(at) === 9) {
      if (type === 'irot') turned = (bytes[at + 8] & 1) === 1;
      upright &&= type === 'irot' && (bytes[at + 8] & 3) === 0;
    }
    if (text(at + 4) === 'mdat') break;
  }
  if (!size) throw bytes.length < 64 ? truncated(label) : new ImageError(`${label}: damaged AVIF, it has no picture`);
  const { width, height } = size;
  const shown = turned ? { width: height, height: width } : size;
  if (width * height === 0) throw new ImageError(`${label}: the image has no pixels (${width}x${height})`);
  const { exif, xmp } = upright ? heifMetadata(bytes) : {};
  const orientation = exif && hasOrientation(exif) ? 1 : orientationOf({ xmp });
  return { format: 'avif', ...shown, channels: 3, alpha: false, orientation, file: bytes };
}
