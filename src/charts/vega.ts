// Plots of analyses: Vega-Lite specifications as SVG text. They stand alone, on white, so that a browser, a paper and a slide
// show them alike.
import type { TopLevelSpec } from 'vega-lite';
import { svgOf } from './svg.ts';

export const FONT = 'system-ui, "DejaVu Sans", sans-serif';

const config: TopLevelSpec['config'] = {
  aria: false,
  background: 'white',
  padding: 14,
  font: FONT,
  view: { stroke: null },
  title: { fontSize: 15, fontWeight: 'bold', anchor: 'start', subtitleFontSize: 12, subtitleColor: '#555', offset: 12 },
  axis: {
    labelFontSize: 11,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    domain: false,
    ticks: false,
    labelPadding: 5,
  },
  legend: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: 'normal', titleLimit: 260 },
};

/** A figure's heading. */
export interface Heading {
  readonly title: string;
  readonly subtitle?: string;
}

export const titleOf = ({ title, subtitle }: Heading) => ({
  text: title,
  ...(subtitle !== undefined && { subtitle: wrap(subtitle) }),
});

/** A long line makes a small figure wide. */
export function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 52) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** SVG text of a specification. */
export const toSvg = (spec: TopLevelSpec): Promise<string> => svgOf(spec, config);

/** Which of many labels are drawn. */
export function everyNth<T>(all: readonly T[], most: number): T[] {
  const stride = [1, 2, 4, 5, 8, 10, 20, 50, 100].find((n) => all.length / n <= most) ?? Math.ceil(all.length / most);
  return all.filter((_, i) => i % stride === 0);
}

/** Texts as an array literal of Vega's expressions: in ASCII, since line separators would end a string there. */
export const literal = (texts: readonly string[]): string =>
  JSON.stringify(texts).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
