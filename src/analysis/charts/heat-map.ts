import type { TopLevelSpec } from 'vega-lite';
import { everyNth, type Heading, literal, titleOf, toSvg } from './vega.ts';

export interface HeatMap extends Heading {
  /** Row by row, [rows, columns]. */
  readonly values: ArrayLike<number>;
  readonly rows: { readonly title: string; readonly labels: readonly string[] };
  readonly columns: { readonly title: string; readonly labels: readonly string[] };
  /** What the colours mean. */
  readonly legend: string;
  /**
   * `diverging`: white at zero, red above, blue below, as far as the greatest absolute value. `sequential`: the deeper the
   * more, over the values' own range.
   */
  readonly scale: 'diverging' | 'sequential';
}

/** A table of numbers as colours, the first row on top. */
export const heatMap = (map: HeatMap): Promise<string> => toSvg(heatMapSpec(map) as TopLevelSpec);

/** The same as a part of another figure. */
export function heatMapSpec({ values, rows, columns, legend, scale, ...heading }: HeatMap) {
  const width = columns.labels.length;
  const cell = Math.max(7, Math.min(34, Math.floor(900 / width)));
  const cellHeight = Math.max(9, Math.min(26, Math.floor(700 / rows.labels.length)));
  const places = (labels: readonly string[], room: number) => everyNth(Array.from(labels.keys()), room);
  const axis = (labels: readonly string[], title: string, room: number) => ({
    title,
    values: places(labels, room),
    labelExpr: `${literal(labels)}[datum.value]`,
    labelLimit: 160,
    labelOverlap: false,
  });
  const longLabels = columns.labels.some((label) => label.length * 7 > cell);
  return {
    title: titleOf(heading),
    width: { step: cell },
    height: { step: cellHeight },
    data: {
      values: Array.from(values, (value, i) => ({ row: Math.floor(i / width), column: i % width, value })),
    },
    mark: { type: 'rect', stroke: '#fff', strokeWidth: cell > 12 ? 1 : 0.4 },
    encoding: {
      x: {
        field: 'column',
        type: 'ordinal',
        axis: {
          ...axis(columns.labels, columns.title, Math.floor((width * cell) / 13)),
          labelAngle: longLabels ? -90 : 0,
          ...(longLabels && { labelAlign: 'right', labelBaseline: 'middle' }),
        },
      },
      y: { field: 'row', type: 'ordinal', axis: axis(rows.labels, rows.title, 40) },
      color: { field: 'value', type: 'quantitative', ...colours(Array.from(values), scale, legend) },
    },
  };
}

/** The scale and legend of values as colours. */
export function colours(values: readonly number[], scale: HeatMap['scale'], title: string) {
  const finite = values.filter(Number.isFinite);
  const least = Math.min(...finite);
  const greatest = Math.max(...finite);
  const reach = Math.max(Math.abs(least), Math.abs(greatest)) || 1;
  const legend = { title, gradientLength: 120, format: '.3~g' };
  return scale === 'diverging'
    ? { scale: { domain: [-reach, 0, reach], range: ['#2166ac', '#f7f7f7', '#b2182b'] }, legend }
    : { scale: { domain: [least, greatest], range: ['#f1f5fa', '#08519c'] }, legend };
}
