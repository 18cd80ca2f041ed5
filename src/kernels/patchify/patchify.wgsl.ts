/**
 * Pixels in the order in which a patch-embedding Conv2d weight [out, channel, y, x] meets them, so that the convolution is
 * a matrix product. For `perElement`: writes are contiguous, reads in runs of `patch`.
 * One number an invocation: patches of 14 pixels begin nowhere in particular, and it runs once an image.
 * A convolution without the copy would save 2 x 4 bytes a pixel, under a thousandth of a forward pass.
 */
export function patchifyBody(channels: number, height: number, width: number, patch: number): string {
  const across = Math.floor(width / patch);
  const down = Math.floor(height / patch);
  const columns = channels * patch * patch;
  return /* wgsl */ `
  let column = i % ${columns}u;
  let row = i / ${columns}u;
  let x = row % ${across}u * ${patch}u + column % ${patch}u;
  let y = row / ${across}u % ${down}u * ${patch}u + column / ${patch}u % ${patch}u;
  let plane = row / ${across * down}u * ${channels}u + column / ${patch * patch}u;
  out[i] = pixels[(plane * ${height}u + y) * ${width}u + x];`;
}
