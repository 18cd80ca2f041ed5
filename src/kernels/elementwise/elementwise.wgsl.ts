import { type Activation, activationWgsl } from '../activation/activation.wgsl.ts';

/** Preludes and bodies for `perElement`. */
export const addBody = '  out[i] = a[i] + b[i];';

export const activationBody = (name: Activation) => ({ prelude: activationWgsl(name), body: '  out[i] = act(x[i]);' });

export const gatedActivationBody = (name: Activation) => ({
  prelude: activationWgsl(name),
  body: '  out[i] = act(gate[i]) * up[i];',
});

/** Row `rows[r]` of x, `columns` wide; zeros for a row that x does not have. */
export const gatherRowsBody = (columns: number) => /* wgsl */ `
  let row = rows[i / ${columns}u];
  out[i] = 0.0;
  if (row < params.available) { out[i] = x[row * ${columns}u + i % ${columns}u]; }`;

/** x [M, columns] into columns `start` and on of a matrix `width` wide. */
export const placeColumnsBody = (columns: number, start: number, width: number) => /* wgsl */ `
  out[i / ${columns}u * ${width}u + ${start}u + i % ${columns}u] = x[i];`;
