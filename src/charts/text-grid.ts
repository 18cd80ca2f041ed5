import type { TopLevelSpec } from 'vega-lite';
import { greatest } from '../base/extremes.ts';
import { colours, type HeatMap } from './heat-map.ts';
import { literal, titleOf, toSvg } from './vega.ts';

export interface TextGrid extends HeatMap {
  /** What is written in each cell, [rows, columns]. */
  readonly texts: readonly string[];
}

/** A table of short texts on coloured cells: what a logit lens reads, what words heads write. The first row on top. */
export function textGrid({ values, texts, rows, columns, legend, scale, ...heading }: TextGrid): Promise<string> {
  const width = columns.labels.length;
  const strongest = greatest(Array.from(values, Math.abs)) || 1;
  const longest = greatest(texts.map((text) => Array.from(text).length));
  const cell = Math.max(30, Math.min(84, 14 + 7 * longest));
  const axis = (labels: readonly string[], title: string) => ({
    title,
    labelExpr: `${literal(labels)}[datum.value]`,
    labelLimit: 140,
    labelOverlap: false,
  });
  const longLabels = columns.labels.some((label) => label.length * 7 > cell);
  return toSvg({
    title: titleOf(heading),
    width: { step: cell },
    height: { step: 21 },
    data: {
      values: texts.map((text, i) => ({
        row: Math.floor(i / width),
        column: i % width,
        value: values[i],
        text: shorten(text, 10),
        // White on deep colours.
        ink: Math.abs(values[i]) > 0.55 * strongest ? '#fff' : '#222',
      })),
    },
    encoding: {
      x: {
        field: 'column',
        type: 'ordinal',
        axis: {
          ...axis(columns.labels, columns.title),
          labelAngle: longLabels ? -90 : 0,
          ...(longLabels && { labelAlign: 'right', labelBaseline: 'middle' }),
        },
      },
      y: { field: 'row', type: 'ordinal', axis: axis(rows.labels, rows.title) },
    },
    layer: [
      {
        mark: { type: 'rect', stroke: '#fff', strokeWidth: 1 },
        encoding: {
          color: { field: 'value', type: 'quantitative', ...colours(Array.from(values), scale, legend) },
        },
      },
      {
        mark: { type: 'text', fontSize: 11 },
        encoding: {
          text: { field: 'text', type: 'nominal' },
          fill: { field: 'ink', type: 'nominal', scale: null },
        },
      },
    ],
  } as TopLevelSpec);
}

function shorten(text: string, length: number): string {
  const characters = Array.from(text);
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`;
}
