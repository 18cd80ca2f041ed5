import { type ActivationFunction, activationWgsl } from '../activation/activation.wgsl.ts';
import type { Width } from './per-element.ts';

/** Preludes and bodies for `perElement`. Lengths are those of rows, in elements. */
export const addBody = '  out[i] = a[i] + b[i];';

export const activationBody = (name: ActivationFunction, width: Width) => ({
  prelude: activationOfT(name, width),
  body: '  out[i] = actOfT(x[i]);',
});

export const gatedActivationBody = (name: ActivationFunction, width: Width) => ({
  prelude: activationOfT(name, width),
  body: '  out[i] = actOfT(gate[i]) * up[i];',
});

const activationOfT = (name: ActivationFunction, width: Width) => /* wgsl */ `${activationWgsl(name)}
fn actOfT(x: T) -> T { return ${width === 4 ? 'vec4f(act(x.x), act(x.y), act(x.z), act(x.w))' : 'act(x)'}; }`;

/** Row `rows[r]` of x; zeros for a row that x does not have. */
export function gatherRowsBody(columns: number, width: Width): string {
  const n = `${columns / width}u`;
  return /* wgsl */ `
  let row = rows[i / ${n}];
  out[i] = T();
  if (row < params.available) { out[i] = x[row * ${n} + i % ${n}]; }`;
}

/** x [M, columns] into columns `start` and on of rows of `total`. */
export function placeColumnsBody(columns: number, start: number, total: number, width: Width): string {
  const n = `${columns / width}u`;
  return /* wgsl */ `
  out[i / ${n} * ${total / width}u + ${start / width}u + i % ${n}] = x[i];`;
}
