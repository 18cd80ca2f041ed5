// What the page shows inside of the model, held against the library in Node.
import { attentionMaps } from '../../src/analysis/attention-map.ts';
import { logitLens } from '../../src/analysis/logit-lens.ts';
import { tokenText } from '../../src/analysis/token-text.ts';
import type { Head } from '../../src/base/heads.ts';
import { heat } from '../../src/charts/attention-picture.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { percent } from '../../web/src/parts/format.ts';

/** In the page: RGBA of the attention over the first picture, nothing until it is drawn. */
export const overlayPixels = `(() => {
  const canvas = document.querySelector('.overlay canvas');
  return canvas ? [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data] : [];
})()`;

/** In the page: the rows of the lens. */
export const lensRows = `[...document.querySelectorAll('.lens tr')].map((row) =>
  [...row.querySelectorAll('td')].map(({ children }) => '“' + children[0].textContent + '” ' + children[1].textContent))`;

/** How far `overlayPixels` are from the head's attention map, in steps of 255; infinitely where there are more or fewer places. */
export async function overlayDifference(
  model: VisionLanguageModel,
  input: ModelInput,
  head: Head,
): Promise<(pixels: readonly number[]) => number> {
  const { maps } = await attentionMaps(model, input, { heads: [head] });
  const [map] = maps[0].grids;
  const most = Math.max(...map);
  return (pixels) => {
    if (pixels.length !== 4 * map.length) return Number.POSITIVE_INFINITY;
    const differences = Array.from(map, (value, i) => {
      const { rgb, opacity } = heat(value / most);
      // Canvases keep colours times their opacity.
      const colours = rgb.map((colour, c) => Math.abs(pixels[4 * i + c] - colour) * opacity);
      return Math.max(...colours, Math.abs(pixels[4 * i + 3] - 255 * opacity));
    });
    return Math.max(...differences);
  };
}

/** What `lensRows` are to be. */
export async function expectedLens(model: VisionLanguageModel, input: ModelInput): Promise<string[][]> {
  const lens = await logitLens(model, input);
  return lens.map(({ top }) =>
    top.map(({ id, probability }) => `“${tokenText(model.processor.tokenizer, id)}” ${percent(probability)}`),
  );
}
