import type { TopLevelSpec } from 'vega-lite';
import { printable } from '../base/printable.ts';

/** SVG text of a Vega-Lite specification, by vega's own string renderer: no canvas, no DOM. @param config its look. */
export async function svgOf(spec: TopLevelSpec, config: TopLevelSpec['config']): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const compiled = vegaLite.compile({ ...spec, config } as TopLevelSpec).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: 'none' });
  try {
    return printable(await view.toSVG()); // vega escapes markup, not what XML forbids
  } finally {
    view.finalize();
  }
}

/** A text as it stands in HTML and SVG, in quotes too; of characters that are not printable, their escapes. */
export function escapeMarkup(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return printable(text).replace(/[&<>"']/g, (character) => names[character]);
}
