import { ImageError } from './errors.ts';

/** 64 Mpixel: 192 MiB of RGB, above what cameras make. */
export const defaultMaxPixels = 2 ** 26;

/** The most that JPEG and GIF can say. */
const maxSide = 65535;

/**
 * Checks what a picture decodes to, before it is decoded.
 * @throws ImageError for no pixels, or more than `maxPixels`.
 */
export function checkSize(
  { width, height }: { readonly width: number; readonly height: number },
  label: string,
  maxPixels: number,
): void {
  if (width === 0 || height === 0) throw new ImageError(`${label}: the image has no pixels (${width}x${height})`);
  if (Math.max(width, height) > maxSide)
    throw new ImageError(`${label}: ${width}x${height} pixels; ${maxSide} on a side are the most`);
  if (width * height > maxPixels)
    throw new ImageError(
      `${label}: ${width}x${height} pixels are more than the ${maxPixels} allowed; make the image smaller or raise maxPixels`,
    );
}

export const truncated = (label: string) => new ImageError(`${label}: the image file is truncated`);
