import { elementCount } from '../../gpu/tensor.ts';
import type { ActivationFunction } from '../activation/activation.wgsl.ts';
import { referenceActivation } from '../activation/reference.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { activation, add, concatColumns, gatedActivation, gatherRows } from './elementwise.ts';

type Shape = readonly number[];

export function addProblem(shape: Shape): Problem {
  const [a, b] = [pseudoRandom(elementCount(shape), 1), pseudoRandom(elementCount(shape), 2)];
  return {
    name: `[${shape}]`,
    shape,
    prepare(make) {
      const args = { a: make('a', 'f32', shape, a), b: make('b', 'f32', shape, b), label: 'y' };
      return (rec, options) => add(rec, { ...args, ...options });
    },
    expected: () => ({ at: (index) => a[index] + b[index] }),
  };
}

export function activationProblem(name: ActivationFunction, shape: Shape): Problem {
  const x = pseudoRandom(elementCount(shape), 1).map((value) => 6 * value + 3);
  return {
    name: `${name} [${shape}]`,
    shape,
    prepare(make) {
      const args = { x: make('x', 'f32', shape, x), activation: name, label: 'y' };
      return (rec, options) => activation(rec, { ...args, ...options });
    },
    expected: () => ({ at: (index) => referenceActivation[name](x[index]) }),
  };
}

export function gatedActivationProblem(name: ActivationFunction, shape: Shape): Problem {
  const gate = pseudoRandom(elementCount(shape), 1).map((value) => 6 * value + 3);
  const up = pseudoRandom(elementCount(shape), 2);
  return {
    name: `${name} [${shape}]`,
    shape,
    prepare(make) {
      const args = {
        gate: make('gate', 'f32', shape, gate),
        up: make('up', 'f32', shape, up),
        activation: name,
        label: 'y',
      };
      return (rec, options) => gatedActivation(rec, { ...args, ...options });
    },
    expected: () => ({ at: (index) => referenceActivation[name](gate[index]) * up[index] }),
  };
}

/** Rows from the end to the start, over and over, and one that x does not have. */
export function gatherRowsProblem(available: number, count: number, columns: number): Problem {
  const x = pseudoRandom(available * columns, 1);
  const rows = Uint32Array.from({ length: count }, (_, i) => (i * 31) % available).reverse();
  if (count > 1) rows[1] = available;
  return {
    name: `${count} of [${available},${columns}]`,
    shape: [count, columns],
    exact: true,
    prepare(make) {
      const args = {
        x: make('x', 'f32', [available, columns], x),
        rows: make('rows', 'u32', [count], rows),
        label: 'y',
      };
      return (rec, options) => gatherRows(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, columns);
        return rows[row] < available ? x[rows[row] * columns + column] : 0;
      },
    }),
  };
}

export function concatColumnsProblem(rows: number, widths: readonly number[]): Problem {
  const parts = widths.map((width, part) => pseudoRandom(rows * width, part));
  const total = widths.reduce((a, b) => a + b);
  return {
    name: `${rows} rows of ${widths.join(' + ')}`,
    shape: [rows, total],
    exact: true,
    prepare(make) {
      const inputs = parts.map((data, part) => make(`part ${part}`, 'f32', [rows, widths[part]], data));
      return (rec, options) => concatColumns(rec, { parts: inputs, label: 'y', ...options });
    },
    expected: () => ({
      at(index) {
        let [row, column] = placeOf(index, total);
        let part = 0;
        while (column >= widths[part]) column -= widths[part++];
        return parts[part][row * widths[part] + column];
      },
    }),
  };
}

const shapes: Shape[] = [
  [1, 1],
  [1, 4],
  [7, 33],
  [65, 64],
  [3, 1021],
];
const names: ActivationFunction[] = ['silu', 'gelu'];
export const addProblems = () => shapes.map(addProblem);
export const activationProblems = () => names.flatMap((name) => shapes.map((shape) => activationProblem(name, shape)));
export const gatedActivationProblems = () =>
  names.flatMap((name) => shapes.map((shape) => gatedActivationProblem(name, shape)));
export const gatherRowsProblems = () => [
  gatherRowsProblem(1, 1, 1),
  gatherRowsProblem(37, 5, 3),
  gatherRowsProblem(13, 64, 128),
  gatherRowsProblem(65, 7, 129),
];
export const concatColumnsProblems = () => [
  concatColumnsProblem(1, [1]),
  concatColumnsProblem(5, [3, 1, 7]),
  concatColumnsProblem(37, [128, 64]),
  concatColumnsProblem(2, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
];
