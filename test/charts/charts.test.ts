// Figures: well-formed, complete, and safe whatever texts and numbers go into them.
import { describe, expect, it } from 'vitest';
import { tokenText, visible } from '../../src/analysis/token-text.ts';
import { printable } from '../../src/base/printable.ts';
import { attentionPicture } from '../../src/charts/attention-picture.ts';
import { attributionChart } from '../../src/charts/attribution-chart.ts';
import { heatMap } from '../../src/charts/heat-map.ts';
import { lineChart } from '../../src/charts/line-chart.ts';
import { overlay } from '../../src/charts/overlay.ts';
import { encodePng } from '../../src/charts/png.ts';
import { textGrid } from '../../src/charts/text-grid.ts';
import { everyNth } from '../../src/charts/vega.ts';
import { decodePng } from '../../src/platform/png.ts';

const hostile = ['<script>x', '"]; x()//', "';\\", 'a\u2028b', '&amp;', '%20', '😀'];

/** Rasterised by librsvg, which refuses what is no XML. */
async function raster(svg: string) {
  const { default: sharp } = await import('sharp');
  return sharp(Buffer.from(svg)).raw().toBuffer({ resolveWithObject: true });
}

/** Texts of an SVG, entities resolved. */
const textsOf = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>(.*?)<\/text>/gs)].map(([, text]) =>
    text
      .replace(/<[^>]*>/g, '')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&quot;', '"')
      .replaceAll('&amp;', '&'),
  );

describe('heat map', () => {
  const labels = { title: 'head', labels: ['0', '1', '2'] };
  const map = {
    title: 'Title <of> it',
    values: [0, 1, -4, 2, Number.NaN, 3],
    rows: { title: 'layer', labels: ['0', '1'] },
    columns: labels,
    legend: 'change',
  };

  it('draws a cell a value, with titles and labels, white at zero', async () => {
    const svg = await heatMap({ ...map, scale: 'diverging' });
    for (const text of ['Title <of> it', 'layer', 'head', 'change']) expect(textsOf(svg)).toContain(text);
    const cells = [...svg.matchAll(/fill="rgb\(([\d, ]+)\)" stroke="#fff"/g)].map(([, rgb]) => rgb);
    expect(cells).toHaveLength(5); // what was not measured stays empty
    expect(cells[0]).toBe('247, 247, 247'); // 0 is white
    expect(cells[2]).toBe('33, 102, 172'); // -4, the greatest of all, the deepest blue
    const [red, , blue] = cells[4].split(', ').map(Number); // 3 is red, but not the deepest
    expect(red).toBeGreaterThan(blue);
    expect(red).toBeGreaterThan(178);
    await raster(svg);
  });

  it('cuts a map of a whole prompt into bands that can be read, every column in one of them', async () => {
    const columns = 640;
    const svg = await heatMap({
      ...map,
      values: Array.from({ length: 2 * columns }, (_, i) => (i === 639 ? 1 : i === 640 ? -1 : 0)),
      columns: { title: 'position', labels: Array.from({ length: columns }, (_, i) => `${i} token`) },
      scale: 'diverging',
    });
    const { info } = await raster(svg);
    expect(info.width).toBeLessThan(1300);
    expect(svg.match(/stroke="#fff"/g)!.length).toBeGreaterThanOrEqual(2 * columns);
    const texts = textsOf(svg);
    expect(texts.filter((text) => text === 'change')).toHaveLength(1); // one legend
    expect(texts.filter((text) => text === 'position')).toHaveLength(6);
    expect(texts.filter((text) => / token$/.test(text)).length).toBeGreaterThan(columns / 3);
    // The greatest of all has the deepest colour, in whichever band it lies.
    expect(svg).toContain('rgb(178, 24, 43)');
    expect(svg).toContain('rgb(33, 102, 172)');
  });

  it('draws columns named by any text', async () => {
    const svg = await heatMap({
      ...map,
      values: hostile.map((_, i) => i),
      rows: { title: 'row', labels: ['0'] },
      columns: { title: 'position', labels: hostile },
      scale: 'sequential',
    });
    expect(svg).not.toContain('<script');
    for (const text of hostile) expect(textsOf(svg)).toContain(printable(text));
    await raster(svg);
  });

  it('draws nothing but equal values', async () => {
    await raster(await heatMap({ ...map, values: [0, 0, 0, 0, 0, 0], scale: 'diverging' }));
    await raster(await heatMap({ ...map, values: [1, 1, 1, 1, 1, 1], scale: 'sequential' }));
  });

  it('labels every so many of many', () => {
    expect(everyNth([0, 1, 2], 3)).toEqual([0, 1, 2]);
    expect(
      everyNth(
        Array.from({ length: 9 }, (_, i) => i),
        5,
      ),
    ).toEqual([0, 2, 4, 6, 8]);
    expect(
      everyNth(
        Array.from({ length: 5000 }, (_, i) => i),
        10,
      ).length,
    ).toBeLessThanOrEqual(10);
  });
});

describe('text grid', () => {
  it('writes every text', async () => {
    const texts = hostile.map((text) => Array.from(text).slice(0, 10).join(''));
    const svg = await textGrid({
      title: 'Lens',
      values: texts.map((_, i) => i / 10),
      texts,
      rows: { title: 'layer', labels: ['0'] },
      columns: { title: 'position', labels: texts },
      legend: 'probability',
      scale: 'sequential',
    });
    for (const text of texts) expect(textsOf(svg).filter((t) => t === printable(text))).toHaveLength(2); // cell and label
    await raster(svg);
  });

  it('shows what cannot be seen, and nothing that XML does not take', async () => {
    expect(visible(' a b ')).toBe('␣a b␣');
    expect(visible('\n\t\u0000\u001b\u0085\ud800\uffff')).toBe('⏎⇥␀␛\ufffd\ufffd\ufffd');
    const llama = {
      decode: (ids: ArrayLike<number>) =>
        Array.from(ids, () => ' red')
          .join('')
          .replace(/^ /, ''),
    };
    expect(tokenText(llama, 5)).toBe('␣red'); // the blank that a text's beginning loses
    expect(tokenText({ decode: () => '' }, 5)).toBe('#5');
    const texts = Array.from({ length: 160 }, (_, i) => visible(String.fromCharCode(i)));
    const columns = { title: 'token', labels: texts };
    const rows = { title: 'row', labels: ['0'] };
    const shown = { title: 'All', values: texts.map(() => 1), texts, rows, columns, legend: 'n' };
    await raster(await textGrid({ ...shown, scale: 'sequential' }));
  });
});

describe('attention picture', () => {
  const [width, height] = [6, 4];
  const grey = { width, height, data: new Float32Array(3 * width * height).fill(0.5) };
  const grid = { rows: 2, columns: 3, picture: () => grey };
  const range = [
    [0, 0, 0],
    [1, 1, 1],
  ] as const;

  it('is the redder the more a patch is looked at, each patch in its place', async () => {
    const png = await attentionPicture(grid, [0, 0, 0, 0, 0.5, 1], range, 100);
    const image = await decodePng(png, 'attention');
    expect([image.width, image.height]).toEqual([width, height]);
    const at = (x: number, y: number) => Array.from(image.data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3));
    const light = Math.round(255 * (0.18 + 0.82 * 0.5));
    for (const [x, y] of [
      [0, 0],
      [5, 1],
      [1, 3],
    ])
      expect(at(x, y)).toEqual([light, light, light]);
    const redness = ([r, g]: number[]) => r - g;
    expect(redness(at(4, 2))).toBeGreaterThan(redness(at(2, 2)));
    expect(redness(at(2, 3))).toBeGreaterThan(redness(at(0, 0)));
    expect(at(5, 3)).toEqual(at(4, 2));
  });

  it('draws large pictures smaller, and weights of nothing as nothing', async () => {
    const data = new Float32Array(3 * 1000 * 500).fill(0.5);
    const large = { rows: 2, columns: 3, picture: () => ({ width: 1000, height: 500, data }) };
    const image = await decodePng(await attentionPicture(large, new Float32Array(6), range, 96), 'attention');
    expect([image.width, image.height]).toEqual([91, 46]);
    expect(new Set(image.data).size).toBe(1);
  });
});

describe('overlay', () => {
  const picture = () => ({
    height: 2,
    width: 4,
    data: Float32Array.from({ length: 24 }, (_, i) => (i % 8 < 4 ? -1 : 1)),
  });
  const grid = { rows: 1, columns: 2, picture };
  const figure = {
    title: 'Heads & <pictures>',
    columns: 2,
    blackAndWhite: [
      [-1, -1, -1],
      [1, 1, 1],
    ] as const,
    legend: 'of attention',
  };

  it('lays weights over the picture, the deepest over the most', async () => {
    const svg = await overlay({
      ...figure,
      panels: [
        { title: 'picture', grid },
        { title: 'head 1.2', grid, values: [0, 0.25] },
      ],
    });
    expect(textsOf(svg)).toEqual(['Heads & <pictures>', 'picture', 'head 1.2', '0', '25 % of attention']);
    const { data, info } = await raster(svg);
    const at = (x: number, y: number) => Array.from(data.subarray((y * info.width + x) * info.channels).subarray(0, 3));
    // The second panel: its left half is the grey picture, dark above and light below; its right half is red.
    const left = 16 + 232;
    const top = 16 + 20 + 8 + 22;
    const [dark, light, most] = [at(left + 50, top + 20), at(left + 50, top + 90), at(left + 160, top + 20)];
    expect(dark[0]).toBe(dark[2]);
    expect(light[0]).toBeGreaterThan(dark[0] + 100);
    expect(most[0]).toBeGreaterThan(most[1] + 100);
    expect(most[0]).toBeGreaterThan(most[2] + 100);
  });

  it('draws weights that are all zero', async () => {
    await raster(await overlay({ ...figure, panels: [{ title: 'none', grid, values: [0, 0] }] }));
  });
});

describe('other figures', () => {
  it('draw parts and lines', async () => {
    const found = {
      position: 3,
      embed: 0.5,
      heads: Float64Array.of(1, -2, 0, 0.25),
      attentionBias: Float64Array.of(0, 0),
      mlp: Float64Array.of(2, -1),
      total: 0.75,
      logit: 0.75,
    };
    const parts = await attributionChart(found, { title: 'Parts' });
    for (const text of ['Parts', 'by head', 'by layer', 'attention', 'MLP']) expect(textsOf(parts)).toContain(text);
    await raster(parts);
    const line = await lineChart({
      title: 'Line',
      x: { title: 'layer', labels: ['0', '1–2'] },
      y: 'logit',
      values: [1, 2],
      levels: [{ name: 'baseline', value: 1.5 }],
    });
    for (const text of ['Line', 'layer', 'logit', 'baseline', '1–2']) expect(textsOf(line)).toContain(text);
    await raster(line);
  });

  it('hold pictures that decode to what went in', async () => {
    const rgb = Uint8Array.from({ length: 7 * 5 * 3 }, (_, i) => (i * 37) % 256);
    const { width, height, data } = await decodePng(await encodePng(7, 5, rgb), 'made');
    expect([width, height]).toEqual([7, 5]);
    expect(data).toEqual(rgb);
    const { data: again } = await raster(Buffer.from(await encodePng(7, 5, rgb)) as unknown as string);
    expect(new Uint8Array(again)).toEqual(rgb);
  });
});
