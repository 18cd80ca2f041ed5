// Pictures that the browser decodes.
import type { EncodedImage } from './encoded-image.ts';
import { ImageError } from './errors.ts';
import { dropAlpha } from './image-source.ts';
import type { RgbImage } from './types.ts';

/** @throws ImageError for TIFF, CMYK, a corrupt file, and a transparent picture larger than the browser's textures. */
export async function decodeByBitmap(image: EncodedImage, label: string): Promise<RgbImage> {
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
