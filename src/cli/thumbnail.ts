import { decodeImage } from '#platform';
import { encodePng } from '../charts/png.ts';
import { imageType } from '../charts/report/query-card.ts';
import { resample } from '../model/processor/resample.ts';

/** Files up to this size go into a report as they are. */
const smallBytes = 60_000;
const longSide = 320;

/** A picture for a report: the file itself where it is small and browsers show it, else a PNG of at most 320 pixels a side. */
export async function thumbnail(file: Uint8Array, name: string): Promise<Uint8Array> {
  if (file.length <= smallBytes && imageType(file)) return file;
  const image = await decodeImage(file, name);
  const scale = Math.min(1, longSide / Math.max(image.width, image.height));
  const side = (length: number) => Math.max(1, Math.round(scale * length));
  const { width, height, data } = resample(image, side(image.width), side(image.height), 'bilinear');
  return encodePng(width, height, data);
}
