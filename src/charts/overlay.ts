// Weights over a picture's patches, laid over the picture.

import { greatest } from '../base/extremes.ts';
import type { Planes } from '../model/processor/token-grids.ts';
import { colourPicture, greyPicture, heat } from './attention-picture.ts';
import { dataUri, encodePng } from './png.ts';
import { escapeMarkup } from './svg.ts';
import { FONT, type Heading, wrap } from './vega.ts';

/** One picture with weights over it. */
export interface Panel {
  readonly title: string;
  /** Where the weights lie, and the pixels beneath them. */
  readonly grid: { readonly rows: number; readonly columns: number; picture(): Planes };
  /** [rows, columns], none negative. Absent: the picture alone, in colour. */
  readonly values?: ArrayLike<number>;
}

export interface OverlayFigure extends Heading {
  readonly panels: readonly Panel[];
  /** Panels in a row. */
  readonly columns: number;
  /** What pixel values black and white are, by channel (`Processor.blackAndWhite`). */
  readonly blackAndWhite: readonly [black: readonly number[], white: readonly number[]];
  /** What a weight is called beside the colour bar. */
  readonly legend: string;
}

const margin = 16;
const longSide = 216;
const panelTitle = 22;
const bar = { top: 8, height: 10, label: 15 };
/** From yellow, hardly there, to red, which hides the picture: [share of the most, colour, opacity]. */
const ramp = [0, 0.25, 0.5, 0.75, 1].map((t) => ({ t, ...heatOf(t) }));

function heatOf(t: number) {
  const { rgb, opacity } = heat(t);
  return { color: `rgb(${rgb})`, opacity: round(opacity) };
}

/** SVG text: the pictures as the tower is shown them, in grey, and over each patch the deeper a red the more its weight. */
export async function overlay(figure: OverlayFigure): Promise<string> {
  const { panels, columns, title, subtitle = '', legend } = figure;
  const lines = subtitle ? wrap(subtitle) : [];
  const head = margin + 20 + 17 * lines.length + 8;
  const drawn = await Promise.all(panels.map((panel) => drawPanel(panel, figure)));
  const cell = {
    width: longSide + margin,
    height: panelTitle + greatest(drawn.map((d) => d.height)) + bar.top + bar.height + bar.label + margin,
  };
  const across = Math.min(columns, panels.length);
  const estimated = greatest(
    lines.map((line) => line.length * 6.6),
    title.length * 8.5,
  );
  const width = Math.max(margin + across * cell.width, 2 * margin + estimated);
  const height = head + Math.ceil(panels.length / across) * cell.height;
  const text = (x: number, y: number, size: number, content: string, more = '') =>
    `<text x="${x}" y="${y}" font-size="${size}" ${more}>${escapeMarkup(content)}</text>`;
  const body = drawn.map(({ svg, height: tall, max }, i) => {
    const x = margin + (i % across) * cell.width;
    const y = head + Math.floor(i / across) * cell.height;
    const under = panelTitle + tall + bar.top;
    const scale =
      max === undefined
        ? ''
        : `<rect y="${under}" width="${longSide}" height="${bar.height}" fill="#999"/>
<rect y="${under}" width="${longSide}" height="${bar.height}" fill="url(#ramp)"/>
${text(0, under + bar.height + 12, 10, '0', 'fill="#555"')}
${text(longSide, under + bar.height + 12, 10, `${percent(max)} ${legend}`, 'fill="#555" text-anchor="end"')}`;
    return `<g transform="translate(${x} ${y})">${text(0, 14, 12, panels[i].title)}
<g transform="translate(0 ${panelTitle})">${svg}</g>
${scale}</g>`;
  });
  const stops = ramp.map(
    ({ t, color, opacity }) => `<stop offset="${t}" stop-color="${color}" stop-opacity="${opacity}"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${escapeMarkup(FONT)}">
<defs><linearGradient id="ramp">${stops.join('')}</linearGradient></defs>
<rect width="100%" height="100%" fill="white"/>
${text(margin, margin + 12, 15, title, 'font-weight="bold"')}
${lines.map((line, i) => text(margin, margin + 31 + 17 * i, 12, line, 'fill="#555"')).join('\n')}
${body.join('\n')}
</svg>
`;
}

async function drawPanel({ grid, values }: Panel, { blackAndWhite }: OverlayFigure) {
  const picture = grid.picture();
  const scale = longSide / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  const rgb = (values ? greyPicture : colourPicture)(picture, blackAndWhite);
  const uri = dataUri(await encodePng(picture.width, picture.height, rgb));
  const size = `width="${round(width)}" height="${round(height)}"`;
  const image = `<image ${size} preserveAspectRatio="none" href="${uri}"/>`;
  const frame = `<rect ${size} fill="none" stroke="#bbb" stroke-width="0.5"/>`;
  if (!values) return { svg: `${image}${frame}`, height };
  const max = greatest(Array.from(values));
  const [w, h] = [width / grid.columns, height / grid.rows];
  const cells = Array.from(values, (value, i) => {
    const share = max > 0 ? Math.max(0, value / max) : 0;
    if (share < 0.004) return ''; // not to be seen
    const [y, x] = [Math.floor(i / grid.columns), i % grid.columns];
    const { color, opacity } = heatOf(share);
    return `<rect x="${round(x * w)}" y="${round(y * h)}" width="${round(w)}" height="${round(h)}" fill="${color}" fill-opacity="${opacity}"/>`;
  });
  return { svg: `${image}<g shape-rendering="crispEdges">${cells.join('')}</g>${frame}`, height, max };
}

const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`;

function round(x: number): number {
  return Number(x.toFixed(3));
}
