/**
 * The package's entry `charts`: plots of the analyses, and the report.
 * @module headlight-vlm/charts
 */
export { attentionPicture, type BlackAndWhite, heat } from './attention-picture.ts';
export { attributionChart } from './attribution-chart.ts';
export { type HeatMap, heatMap } from './heat-map.ts';
export { type LineChart, lineChart } from './line-chart.ts';
export { type OverlayFigure, overlay, type Panel } from './overlay.ts';
export type { ReportAttention, ReportNeighbour, ReportQuery } from './report/query-card.ts';
export { type Report, type ReportTask, renderReport } from './report/report.ts';
export { type TextGrid, textGrid } from './text-grid.ts';
export type { Heading } from './vega.ts';
