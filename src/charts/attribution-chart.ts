import type { TopLevelSpec } from 'vega-lite';
import type { Attribution } from '../analysis/attribution.ts';
import { heatMapSpec } from './heat-map.ts';
import { type Heading, titleOf, toSvg } from './vega.ts';

/** What each head adds to a logit, and beside it what the layers' attention and MLPs add. */
export function attributionChart(found: Attribution, heading: Heading): Promise<string> {
  const layers = found.mlp.length;
  const heads = found.heads.length / layers;
  const names = (n: number) => Array.from({ length: n }, (_, i) => `${i}`);
  const map = heatMapSpec({
    title: 'by head',
    values: found.heads,
    rows: { title: 'layer', labels: names(layers) },
    columns: { title: 'head', labels: names(heads) },
    legend: 'added',
    scale: 'diverging',
  });
  const parts = [
    { part: 'embedding', layer: 'embed', value: found.embed },
    ...names(layers).flatMap((layer, l) => [
      {
        part: 'attention',
        layer,
        value: found.heads.slice(l * heads, (l + 1) * heads).reduce((sum, x) => sum + x, found.attentionBias[l]),
      },
      { part: 'MLP', layer, value: found.mlp[l] },
    ]),
  ];
  const bars = {
    title: 'by layer',
    width: 300,
    height: { step: 11 },
    data: { values: parts },
    mark: { type: 'bar' },
    encoding: {
      y: { field: 'layer', type: 'ordinal', sort: null, axis: { title: 'layer' } },
      yOffset: { field: 'part', type: 'nominal', sort: ['embedding', 'attention', 'MLP'] },
      x: { field: 'value', type: 'quantitative', axis: { title: 'added to the logit', grid: true } },
      color: {
        field: 'part',
        type: 'nominal',
        sort: ['embedding', 'attention', 'MLP'],
        scale: { domain: ['embedding', 'attention', 'MLP'], range: ['#888888', '#b2182b', '#4393c3'] },
        legend: { title: null },
      },
    },
  };
  return toSvg({
    title: titleOf(heading),
    hconcat: [map, bars],
    spacing: 40,
    resolve: { scale: { color: 'independent' } },
  } as unknown as TopLevelSpec);
}
