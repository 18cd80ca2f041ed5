// docs/hooks.md says which family has which hook point: the table is made here from the families' own, and compared.
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { dualHookPoints } from '../../src/model/families/dual.ts';
import { parseConfig, parseDualConfig } from '../../src/model/families/index.ts';
import { type HookPoint, hookPoints } from '../../src/model/interventions/hook-points.ts';
import { readJsonFixture } from '../fixtures.ts';

const config = (checkpoint: string) => readJsonFixture(`${checkpoint}/config.json`);
const generative = (checkpoint: string) => hookPoints(parseConfig(config(checkpoint)));
const dual = (checkpoint: string) => dualHookPoints(parseDualConfig(config(checkpoint)));
const columns: Record<string, HookPoint[]> = {
  'LLaVA-1.5': generative('checkpoints/llava-f32'),
  'LLaVA-NeXT': generative('families/next-mistral-f32'),
  OneVision: generative('families/onevision-f32'),
  'Qwen2-VL': generative('families/qwen2-vl-f32'),
  'Qwen2.5-VL': generative('families/qwen2_5-vl-f32'),
  'text only': generative('families/mistral-text-bf16'),
  CLIP: dual('families/clip-f32'),
  SigLIP: dual('families/siglip-f32'),
};

/** The axes before a row's own: numbers that no config holds stand for what a run decides. */
function axes(point: HookPoint): string {
  const size = { pos: 100003, keys: 100019, crops: 100043, patches: 400_400, texts: 100057 };
  const names = new Map(Object.entries(size).map(([name, n]) => [n, name]));
  names.set(size.patches / 4, 'patches/4');
  return point
    .shape(size)
    .flatMap((n) => names.get(n) ?? [])
    .join(', ');
}

function table(): string {
  const rows: { readonly name: string; readonly cells: Map<string, string> }[] = [];
  for (const [column, points] of Object.entries(columns)) {
    let last = -1;
    for (const point of points) {
      const name = point.name.replace(/blocks\.\d+\./, 'blocks.{l}.');
      const at = rows.findIndex((row) => row.name === name);
      last = at < 0 ? last + 1 : at;
      if (at < 0) rows.splice(last, 0, { name, cells: new Map() });
      rows[last].cells.set(column, axes(point));
    }
  }
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const names = Object.keys(columns);
  return [
    line(['hook point', ...names]),
    line(['---', ...names.map(() => '---')]),
    ...rows.map(({ name, cells }) => line([`\`${name}\``, ...names.map((column) => cells.get(column) ?? '')])),
  ].join('\n');
}

it('docs/hooks.md has the hook points of every family', () => {
  const page = new URL('../../docs/hooks.md', import.meta.url);
  const [start, end] = ['<!-- table -->\n', '\n<!-- end -->'];
  const text = readFileSync(page, 'utf8');
  const [head, rest] = text.split(start);
  const [found, tail] = rest.split(end);
  // To write it anew: HEADLIGHT_WRITE_DOCS=1 npx vitest run test/model/hooks-page.test.ts
  if (process.env.HEADLIGHT_WRITE_DOCS) writeFileSync(page, head + start + table() + end + tail);
  else expect(found).toBe(table());
});
