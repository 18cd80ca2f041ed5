// The report's plots: Vega-Lite specifications as SVG text.
// Colours are CSS variables and shades are opacities, so one SVG suits a light page and a dark one.
import type { TopLevelSpec } from 'vega-lite';
import type { Head } from '../../base/heads.ts';
import type { HeadRanking } from '../../sav/scoring.ts';
import { escapeMarkup, svgOf } from '../svg.ts';
import { type Markup, trusted } from './markup.ts';

const SAV = 'var(--sav)';
const ZERO_SHOT = 'var(--zero-shot)';
const QUIET = 'var(--quiet)';
const FONT = 'system-ui, sans-serif';

const config: TopLevelSpec['config'] = {
  aria: false,
  background: 'transparent',
  font: FONT,
  view: { stroke: null },
  axis: {
    labelColor: 'currentColor',
    titleColor: 'currentColor',
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    domain: false,
    ticks: false,
    labelPadding: 6,
    gridColor: 'var(--line)',
  },
};

/** Inline SVG of a specification; `title` is read aloud in its place. */
async function renderChart(spec: TopLevelSpec, title: string): Promise<Markup> {
  const svg = await svgOf(spec, config);
  return trusted(svg.replace('<svg ', `<svg role="img" aria-label="${escapeMarkup(title)}" `));
}

const percentAxis = { title: null, tickCount: 5, format: '.0%' } as const;
const unitScale = { domain: [0, 1] };

export interface SummaryRow {
  task: string;
  sav: number;
  low: number;
  high: number;
  chance: number;
  zeroShot?: number;
  allHeads?: number;
}

/** One line per task: chance, zero-shot, all heads, and SAVs with their 95 % interval. */
export function summaryChart(rows: readonly SummaryRow[]): Promise<Markup> {
  // Rows are placed by number, since tasks may share a name. Names are drawn as data, never put into an expression.
  const values = rows.map((row, place) => ({
    ...row,
    place,
    from: row.zeroShot ?? row.sav,
    task: shorten(row.task, 60),
  }));
  const y = { field: 'place', type: 'ordinal', axis: { title: null, labels: false, grid: false } } as const;
  const x = (field: string) => ({ field, type: 'quantitative', scale: unitScale, axis: percentAxis }) as const;
  return renderChart(
    {
      width: 440,
      height: { step: 38 },
      data: { values },
      encoding: { y },
      layer: [
        {
          mark: { type: 'text', align: 'left', fontSize: 13, dy: -14, fill: 'currentColor' },
          encoding: { x: { value: 0 }, text: { field: 'task', type: 'nominal' } },
        },
        {
          mark: { type: 'rule', stroke: SAV, strokeWidth: 5, opacity: 0.16, strokeCap: 'round' },
          encoding: { x: x('low'), x2: { field: 'high' } },
        },
        { mark: { type: 'rule', stroke: QUIET, strokeWidth: 1 }, encoding: { x: x('from'), x2: { field: 'sav' } } },
        { mark: { type: 'tick', color: QUIET, thickness: 2, size: 13 }, encoding: { x: x('chance') } },
        {
          mark: { type: 'point', shape: 'diamond', stroke: QUIET, strokeWidth: 1.5, size: 42, fill: 'var(--page)' },
          encoding: { x: x('allHeads') },
        },
        {
          mark: { type: 'point', stroke: ZERO_SHOT, strokeWidth: 2, size: 60, fill: 'var(--page)' },
          encoding: { x: x('zeroShot') },
        },
        { mark: { type: 'circle', color: SAV, opacity: 1, size: 90 }, encoding: { x: x('sav') } },
      ],
    },
    'Accuracy per task: chance, zero-shot, all heads, and Sparse Attention Vectors with their 95 % interval',
  );
}

/** Scores of all heads, layer by head: the deeper the colour, the more training examples right. Chosen heads are framed. */
export function headMap(ranking: HeadRanking, chosen: readonly Head[], chance: number): Promise<Markup> {
  const { nLayers, nHeads, correct, nExamples } = ranking;
  const rank = new Map(chosen.map(({ layer, head }, i) => [layer * nHeads + head, i + 1]));
  const values = Array.from(correct, (count, h) => ({
    layer: Math.floor(h / nHeads),
    head: h % nHeads,
    // From chance (empty) to perfect (full).
    shade: 0.04 + 0.96 * Math.max(0, (count / nExamples - chance) / (1 - chance)),
    rank: rank.get(h),
  }));
  const step = Math.max(9, Math.min(34, Math.floor(360 / nHeads)));
  const everyNth = (count: number) => {
    const stride = count <= 12 ? 1 : count <= 32 ? 4 : 8;
    return Array.from({ length: Math.ceil(count / stride) }, (_, i) => i * stride);
  };
  const x = {
    field: 'head',
    type: 'ordinal',
    axis: { title: 'head', labelAngle: 0, values: everyNth(nHeads) },
  } as const;
  const y = { field: 'layer', type: 'ordinal', axis: { title: 'layer', values: everyNth(nLayers) } } as const;
  const shade = {
    field: 'shade',
    type: 'quantitative',
    scale: { domain: [0, 1], range: [0, 1] },
    legend: null,
  } as const;
  const selected = { filter: 'isValid(datum.rank)' };
  const rankText = (halo: { stroke?: string; strokeWidth?: number }) => ({
    transform: [selected],
    mark: { type: 'text' as const, fontSize: 11, fontWeight: 'bold' as const, fill: 'currentColor', ...halo },
    encoding: { text: { field: 'rank', type: 'quantitative' as const } },
  });
  return renderChart(
    {
      width: { step },
      height: { step: Math.min(step, 26) },
      data: { values },
      encoding: { x, y },
      layer: [
        { mark: { type: 'rect', fill: SAV, stroke: 'var(--page)', strokeWidth: 1 }, encoding: { fillOpacity: shade } },
        {
          transform: [selected],
          mark: { type: 'rect', fill: 'transparent', stroke: 'currentColor', strokeWidth: step > 14 ? 2 : 1.4 },
        },
        // Twice: once as a halo in the page's colour, so that the number reads on any shade.
        ...(step > 20 ? [rankText({ stroke: 'var(--page)', strokeWidth: 3 }), rankText({})] : []),
      ],
    },
    `Scores of ${nLayers} x ${nHeads} heads; ${chosen.length} chosen heads are framed`,
  );
}

/** Test accuracy against the number of heads. The number that was used is in full colour. */
export function headCountChart(
  byK: readonly { k: number; accuracy: number }[],
  used: number,
  chance: number,
  zeroShot?: number,
): Promise<Markup> {
  const values = byK.map(({ k, accuracy }) => ({ k, accuracy, strength: k === used ? 1 : 0.4 }));
  const y = { field: 'accuracy', type: 'quantitative', scale: unitScale, axis: percentAxis } as const;
  const lines = [
    { at: chance, name: 'chance', color: QUIET, dash: [3, 3] },
    ...(zeroShot === undefined ? [] : [{ at: zeroShot, name: 'zero-shot', color: ZERO_SHOT, dash: [6, 3] }]),
  ];
  return renderChart(
    {
      width: 360,
      height: 190,
      layer: [
        {
          data: { values },
          mark: { type: 'bar', fill: SAV },
          encoding: {
            x: { field: 'k', type: 'ordinal', axis: { title: 'heads that vote', labelAngle: 0 } },
            y,
            fillOpacity: {
              field: 'strength',
              type: 'quantitative',
              scale: { domain: [0, 1], range: [0, 1] },
              legend: null,
            },
          },
        },
        {
          data: { values },
          mark: { type: 'text', dy: -7, fontSize: 10, fill: 'currentColor' },
          encoding: {
            x: { field: 'k', type: 'ordinal' },
            y,
            text: { field: 'accuracy', type: 'quantitative', format: '.0%' },
          },
        },
        ...lines.map(
          ({ at, color, dash }) =>
            ({
              data: { values: [{ accuracy: at }] },
              mark: { type: 'rule', stroke: color, strokeWidth: 1.5, strokeDash: dash },
              encoding: { y },
            }) as const,
        ),
      ],
    },
    `Accuracy with 1 to ${byK[byK.length - 1]?.k} heads; chance is ${Math.round(100 * chance)} %`,
  );
}

function shorten(text: string, length: number): string {
  const characters = Array.from(text);
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`;
}
