import { ImageError } from './errors.ts';
import { dropAlpha } from './image-source.ts';
import { checkSize, defaultMaxPixels } from './limits.ts';
import type { DecodeOptions, Drawable, PixelSize, RgbImage } from './types.ts';

/**
 * The size of a canvas, bitmap or frame.
 * @throws ImageError for more than `maxPixels`; for a video that shows nothing yet, and for what was closed.
 */
export function drawableSize(
  source: Drawable,
  label: string,
  { maxPixels = defaultMaxPixels }: DecodeOptions = {},
): PixelSize {
  const size = sizeOf(source);
  if ('videoWidth' in source && source.readyState < source.HAVE_CURRENT_DATA)
    throw new ImageError(`${label}: the video shows no frame yet; wait for its event "loadeddata"`);
  if ('close' in source && size.width === 0) throw new ImageError(`${label}: it was closed before it was read`);
  checkSize(size, label, maxPixels);
  return size;
}

function sizeOf(source: Drawable): PixelSize {
  if ('displayWidth' in source) return { width: source.displayWidth, height: source.displayHeight };
  if ('videoWidth' in source) return { width: source.videoWidth, height: source.videoHeight };
  return { width: source.width, height: source.height };
}

/**
 * The pixels that it shows now, as sRGB. Where a canvas is transparent it has no colour, and becomes black.
 * @throws ImageError as `drawableSize`, and where its pixels may not be read.
 */
export function readDrawable(source: Drawable, label: string, options: DecodeOptions = {}): RgbImage {
  const { width, height } = drawableSize(source, label, options);
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new ImageError(`${label}: the browser gives no canvas of ${width}x${height} pixels`);
  try {
    context.drawImage(source, 0, 0, width, height);
    return { width, height, data: dropAlpha(context.getImageData(0, 0, width, height).data) };
  } catch (e) {
    const { name, message } = e as DOMException;
    throw new ImageError(
      name === 'SecurityError'
        ? `${label}: a page may not read what it has drawn from another origin; load that with crossOrigin = "anonymous"`
        : `${label}: it cannot be read: ${message}`,
    );
  }
}
