import { greatest } from '../base/extremes.ts';
import type { HookPoint, RunSize } from '../model/interventions/hook-points.ts';
import type { Context } from './context.ts';

/** Every name of a model's hook points and its shape in one run, in the order of the run. */
export const hookShapes = (points: readonly HookPoint[], size: RunSize) =>
  points.map(({ name, shape }) => ({ name, shape: shape(size) }));

/** The same as lines, one for all layers: `blocks.{0..31}.attn.hook_z  [711, 32, 128]`. */
export function printHooks(context: Context, hooks: ReturnType<typeof hookShapes>): void {
  const lines = new Map<string, { shape: readonly number[]; layers: number[] }>();
  for (const { name, shape } of hooks) {
    const [, layer] = /blocks\.(\d+)\./.exec(name) ?? [];
    const line = name.replace(/blocks\.\d+\./, 'blocks.*.');
    if (!lines.has(line)) lines.set(line, { shape, layers: [] });
    if (layer) lines.get(line)!.layers.push(Number(layer));
  }
  for (const [name, { shape, layers }] of lines) {
    const named = layers.length ? name.replace('*', `{0..${greatest(layers)}}`) : name;
    context.print(`hook  ${named.padEnd(46)}[${shape.join(', ')}]`);
  }
}
