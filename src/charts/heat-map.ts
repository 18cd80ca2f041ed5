import type { TopLevelSpec } from 'vega-lite';
import { greatest, least } from '../base/extremes.ts';
import { everyNth, type Heading, literal, titleOf, toSvg } from './vega.ts';

/** A table of numbers to be drawn as colours. */
export interface HeatMap extends Heading {
  /** Row by row, [rows, columns]. */
  readonly values: ArrayLike<number>;
  /** Labels from the top. */
  readonly rows: { readonly title: string; readonly labels: readonly string[] };
  /** Labels from the left. */
  readonly columns: { readonly title: string; readonly labels: readonly string[] };
  /** What the colours mean. */
  readonly legend: string;
  /**
   * `diverging`: white at zero, red above, blue below, as far as the greatest absolute value. `sequential`: the deeper the
   * more, over the values' own range.
   */
  readonly scale: 'diverging' | 'sequential';
}

/** Columns beyond these are drawn in further bands underneath: one row of a whole prompt would be too wide to read. */
const mostColumns = 110;

/** A table of numbers as colours, the first row on top. A wide one is cut into bands, one below the other. */
export function heatMap(map: HeatMap): Promise<string> {
  const width = map.columns.labels.length;
  const bands = Math.ceil(width / mostColumns);
  if (bands <= 1) return toSvg(heatMapSpec(map) as TopLevelSpec);
  const columns = Math.ceil(width / bands);
  const { title, subtitle, ...rest } = map;
  const cut = Array.from({ length: bands }, (_, band) => heatMapSpec(rest, [band * columns, (band + 1) * columns]));
  // One legend, beside the first band.
  const [first, ...others] = cut;
  const unlegended = others.map((spec) => ({
    ...spec,
    encoding: { ...spec.encoding, color: { ...spec.encoding.color, legend: null } },
  }));
  return toSvg({
    title: titleOf({ title, subtitle }),
    vconcat: [first, ...unlegended],
    spacing: 14,
    resolve: { scale: { color: 'independent' } }, // each names the same domain
  } as TopLevelSpec);
}

/**
 * The same as a part of another figure.
 * @param range columns to draw, [start, end); the colours are those of all.
 */
export function heatMapSpec(
  { values, rows, columns, legend, scale, ...heading }: Omit<HeatMap, 'title'> & Partial<Heading>,
  [start, end]: readonly [number, number] = [0, columns.labels.length],
) {
  const width = columns.labels.length;
  const shown = columns.labels.slice(start, end);
  const cell = Math.max(9, Math.min(34, Math.floor(900 / shown.length)));
  const cellHeight = width > mostColumns ? 9 : Math.max(9, Math.min(26, Math.floor(700 / rows.labels.length)));
  // Columns keep their numbers; which of them are labelled is told by the label's text, which may be none.
  const axis = (labels: readonly string[], title: string, room: number, offset = 0) => {
    const places = new Set(everyNth(Array.from(labels.keys()), room));
    const texts = labels.map((label, i) => (places.has(i) ? label : ''));
    return { title, labelExpr: `${literal(texts)}[datum.value - ${offset}]`, labelLimit: 160, labelOverlap: false };
  };
  const longLabels = columns.labels.some((label) => label.length * 7 > cell);
  return {
    ...(heading.title !== undefined && { title: titleOf({ title: heading.title, subtitle: heading.subtitle }) }),
    width: { step: cell },
    height: { step: cellHeight },
    data: {
      values: Array.from(values, (value, i) => ({ row: Math.floor(i / width), column: i % width, value })).filter(
        ({ column }) => column >= start && column < end,
      ),
    },
    mark: { type: 'rect', stroke: '#fff', strokeWidth: cell > 12 ? 1 : 0.4 },
    encoding: {
      x: {
        field: 'column',
        type: 'ordinal',
        axis: {
          ...axis(shown, columns.title, Math.floor((shown.length * cell) / 13), start),
          labelAngle: longLabels ? -90 : 0,
          ...(longLabels && { labelAlign: 'right', labelBaseline: 'middle' }),
        },
      },
      y: {
        field: 'row',
        type: 'ordinal',
        axis: axis(rows.labels, rows.title, Math.floor((rows.labels.length * cellHeight) / 13)),
      },
      color: { field: 'value', type: 'quantitative', ...colours(Array.from(values), scale, legend) },
    },
  };
}

/** The scale and legend of values as colours. */
export function colours(values: readonly number[], scale: HeatMap['scale'], title: string) {
  const finite = values.filter(Number.isFinite);
  const [lowest, highest] = [least(finite), greatest(finite)];
  const reach = Math.max(Math.abs(lowest), Math.abs(highest)) || 1;
  const legend = { title, gradientLength: 120, format: '.3~g' };
  return scale === 'diverging'
    ? { scale: { domain: [-reach, 0, reach], range: ['#2166ac', '#f7f7f7', '#b2182b'] }, legend }
    : { scale: { domain: [lowest, highest], range: ['#f1f5fa', '#08519c'] }, legend };
}
