import { ImageError } from './errors.ts';
import { orient } from './exif.ts';
import { defaultMaxPixels, patched, readImageHeader } from './image-header.ts';
import { decodePng } from './png.ts';
import type { DecodeOptions, RgbImage } from './types.ts';

/**
 * Decodes a PNG, JPEG, WebP or GIF (its first picture) to RGB, to the same pixels as in Node: turned upright, alpha
 * dropped without blending, colour profiles ignored. CMYK JPEGs are refused: browsers convert them each in their own way.
 * @param label names the image in errors.
 * @throws ImageError for a corrupt or unsupported file, or more than `maxPixels`.
 */
export async function decodeImage(
  bytes: Uint8Array,
  label: string,
  { maxPixels = defaultMaxPixels }: DecodeOptions = {},
): Promise<RgbImage> {
  const header = readImageHeader(bytes, label, maxPixels);
  if (header.format === 'png') return decodePng(bytes, label);
  if (header.channels === 4)
    throw new ImageError(`${label}: a CMYK JPEG; browsers do not agree on its colours, convert it to RGB`);
  const bitmap = await createImageBitmap(
    new Blob([patched(bytes, header) as BlobPart], { type: `image/${header.format}` }),
    { colorSpaceConversion: 'none', premultiplyAlpha: 'none' },
  ).catch((e: Error) => {
    throw new ImageError(`${label}: the image cannot be decoded: ${e.message}`);
  });
  try {
    const { width, height } = bitmap;
    const rgba = header.alpha ? readByTexture(bitmap, label) : readByCanvas(bitmap, label);
    return orient({ width, height, data: dropAlpha(rgba) }, header.orientation);
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

function dropAlpha(rgba: Uint8ClampedArray | Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, o = 0; i < rgba.length; i += 4) {
    rgb[o++] = rgba[i];
    rgb[o++] = rgba[i + 1];
    rgb[o++] = rgba[i + 2];
  }
  return rgb;
}
