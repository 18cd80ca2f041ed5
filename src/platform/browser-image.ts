import { fetchImage } from './fetch-image.ts';
import { type ImageSource, resolveImage } from './image-source.ts';
import type { DecodeOptions, Drawable, PixelSize, RgbImage } from './types.ts';

/**
 * Decodes a PNG, JPEG, WebP, GIF, BMP or AVIF (of several pictures the first) to RGB, to the same pixels as in Node (of an
 * AVIF: as this browser decodes it): turned upright, alpha dropped without blending, colour profiles ignored. CMYK JPEGs are
 * refused: browsers convert them each in their own way. Of a canvas, an ImageBitmap, a `<video>` or a VideoFrame, what it shows is
 * taken as sRGB; colours of a video are those that this browser makes of it.
 * @param source the file's bytes, a Blob or File, a URL (relative to the page, `http:`, `https:`, `data:`, `blob:`), pixels, or what
 *   shows them.
 * @param label names the image in errors; by default what `source` is.
 * @throws ImageError for a corrupt or unsupported file, more than `maxPixels`, or pixels of another origin; FileError for one that cannot
 *   be fetched.
 */
export async function decodeImage(source: ImageSource, label?: string, options: DecodeOptions = {}): Promise<RgbImage> {
  const shown = drawable(source);
  if (shown) return (await drawables()).readDrawable(shown.source, label ?? shown.kind, options);
  const found = await resolveImage(source, label, fetchAt, options);
  if ('pixels' in found) return found.pixels;
  const [{ decodeBytes }, { decodeByBitmap }] = await Promise.all([decoders(), import('./bitmap.ts')]);
  return decodeBytes(found.bytes, found.label, decodeByBitmap, options);
}

/**
 * The size of what `decodeImage` gives, from the file's header: nothing is decoded.
 * @throws ImageError, FileError as `decodeImage`, as far as can be said without pixels.
 */
export async function imageSize(source: ImageSource, label?: string, options: DecodeOptions = {}): Promise<PixelSize> {
  const shown = drawable(source);
  if (shown) return (await drawables()).drawableSize(shown.source, label ?? shown.kind, options);
  const found = await resolveImage(source, label, fetchAt, options);
  if ('pixels' in found) return found.pixels;
  const { sizeOfBytes } = await decoders();
  return sizeOfBytes(found.bytes, found.label, options);
}

/** Of all formats: loaded with the first file. */
const decoders = () => import('./decode-image.ts');

const drawables = () => import('./drawable.ts');

/** By the name of its class, which is also that of another frame's or window's. */
function drawable(given: unknown): { source: Drawable; kind: string } | undefined {
  const kind = Object.prototype.toString.call(given).slice(8, -1);
  const isDrawable = /^(ImageBitmap|HTMLCanvasElement|OffscreenCanvas|HTMLVideoElement|VideoFrame)$/.test(kind);
  return isDrawable ? { source: given as Drawable, kind } : undefined;
}

const fetchAt = (location: string | URL, name: string, { signal }: DecodeOptions) =>
  fetchImage(new URL(location, self.location.href).href, name, { signal });

/** What decodes pictures here, with its version: another one may give other last bits of a JPEG. */
export async function imageDecoder(): Promise<string> {
  return navigator.userAgent;
}
