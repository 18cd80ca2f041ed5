import { type Kernels, kernelFor } from '../../kernels/custom/kernels.ts';
import { InputError } from '../errors.ts';
import type { HookPoint } from './hook-points.ts';

/**
 * The hook points of a model that runs with these custom kernels: beside each `attn.hook_z` the extras of its kernel, by name:
 * `blocks.3.attn.hook_entropy`.
 */
export function withExtras(points: readonly HookPoint[], kernels: Kernels | undefined): readonly HookPoint[] {
  if (!kernels?.attention) return points;
  return points.flatMap((point) => {
    const attn = /^(.*\.attn)\.hook_z$/.exec(point.name)?.[1];
    const kernel = attn && kernelFor(kernels, { kernel: 'attention', label: `${attn}.z` });
    const extras = Object.entries(kernel ? (kernel.extras ?? {}) : {}).map(([extra, perQuery]): HookPoint => {
      const name = `${attn}.hook_${extra}`;
      if (points.some((p) => p.name === name))
        throw new InputError(`${name} is a hook point of the model: give the extra of the kernel another name`);
      const shape: HookPoint['shape'] = (size) => {
        const z = point.shape(size);
        const [heads, headSize] = z.slice(-2);
        return [...z.slice(0, -2), ...perQuery({ heads, headSize })];
      };
      return { name, layer: point.layer, shape };
    });
    return [point, ...extras];
  });
}
