import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { fetchImage } from './fetch-image.ts';
import { dropAlpha, type ImageSource, resolveImage } from './image-source.ts';
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
  const { decodeBytes } = await decoders();
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

async function decodeByBitmap(image: EncodedImage, label: string): Promise<RgbImage> {
  if (image.format === 'tiff')
    throw new ImageError(`${label}: browsers do not decode TIFF; convert it to PNG, or use Node`);
  if (image.channels === 4)
    throw new ImageError(`${label}: a CMYK JPEG; browsers do not agree on its colours, convert it to RGB`);
  const bitmap = await createImageBitmap(new Blob([image.file as BlobPart], { type: `image/${image.format}` }), {
    colorSpaceConversion: 'none',
    premultiplyAlpha: 'none',
  }).catch((e: Error) => {
    throw new ImageError(`${label}: the image cannot be decoded: ${e.message}`);
  });
  try {
    const { width, height } = bitmap;
    const rgba = image.alpha ? readByTexture(bitmap, label) : readByCanvas(bitmap, label);
    return { width, height, data: dropAlpha(rgba) };
  } finally {
    bitmap.close();
  }
}

/** What decodes pictures here, with its version: another one may give other last bits of a JPEG. */
export async function imageDecoder(): Promise<string> {
  return navigator.userAgent;
}

function readByCanvas(bitmap: ImageBitmap, label: string): Uint8ClampedArray {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new ImageError(`${label}: the browser gives no canvas of ${width}x${height} pixels`);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

/** A canvas multiplies colour by alpha and loses it where alpha is 0; a WebGL texture does not. */
function readByTexture(bitmap: ImageBitmap, label: string): Uint8Array {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE))
    throw new ImageError(
      `${label}: this browser cannot decode a transparent WebP of ${width}x${height}; convert it to PNG`,
    );
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const rgba = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  const error = gl.getError();
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  if (error)
    throw new ImageError(`${label}: reading the decoded image failed (WebGL error ${error}); convert it to PNG`);
  return rgba;
}
