import type { TopLevelSpec } from 'vega-lite';
import { type Heading, titleOf, toSvg } from './vega.ts';

/** A line over places in a row, such as layers. */
export interface LineChart extends Heading {
  readonly x: { readonly title: string; readonly labels: readonly string[] };
  /** The title of the vertical axis. */
  readonly y: string;
  /** A number for each label of `x`. */
  readonly values: ArrayLike<number>;
  /** Horizontal lines to compare with. */
  readonly levels: readonly { readonly name: string; readonly value: number }[];
}

/** One number for each of some places in a row, such as layers. */
export function lineChart({ x, y, values, levels, ...heading }: LineChart): Promise<string> {
  const yAxis = { type: 'quantitative', scale: { zero: false, nice: true }, axis: { title: y, grid: true } };
  const level = { data: { values: [...levels] }, encoding: { y: { field: 'value', ...yAxis } } };
  return toSvg({
    title: titleOf(heading),
    width: Math.max(260, Math.min(900, 34 * x.labels.length)),
    height: 240,
    layer: [
      { ...level, mark: { type: 'rule', strokeDash: [5, 4], color: '#777' } },
      {
        ...level,
        mark: { type: 'text', align: 'left', baseline: 'bottom', dx: 4, dy: -3, fontSize: 11, color: '#555' },
        encoding: { ...level.encoding, x: { value: 0 }, text: { field: 'name', type: 'nominal' } },
      },
      {
        data: { values: x.labels.map((label, i) => ({ label, value: values[i] })) },
        mark: { type: 'line', color: '#b2182b', strokeWidth: 2, point: { size: 45, filled: true, color: '#b2182b' } },
        encoding: {
          x: {
            field: 'label',
            type: 'ordinal',
            sort: null,
            axis: { title: x.title, labelAngle: 0, labelOverlap: true },
          },
          y: { field: 'value', ...yAxis },
        },
      },
    ],
  } as unknown as TopLevelSpec);
}
