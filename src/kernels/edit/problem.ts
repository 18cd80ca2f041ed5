import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { edit, keptRow } from './edit.ts';

export interface EditSizes {
  readonly rows: number;
  readonly parts: number;
  /** Numbers of a part. */
  readonly unit: number;
  readonly scale?: number;
  /** Rows of values. */
  readonly values?: number;
  readonly constant?: number;
}

/** Every third row and every other part stay as they are. */
export function editProblem({ rows, parts, unit, scale, values = 0, constant = 0 }: EditSizes): Problem {
  const columns = parts * unit;
  const [x, given] = [pseudoRandom(rows * columns, 1), pseudoRandom(values * columns, 2)];
  const rowOf = Uint32Array.from({ length: rows }, (_, r) => (r % 3 === 1 ? keptRow : r % Math.max(1, values)));
  const chosen = Uint32Array.from({ length: parts }, (_, part) => 1 - (part % 2));
  const what = values ? `${values} rows of values` : `${constant}`;
  return {
    name: `[${rows},${parts},${unit}] ${scale === undefined ? '' : `x ${scale} + `}${what}`,
    shape: [rows, parts, unit],
    prepare(make) {
      const args = {
        x: make('x', 'f32', [rows, parts, unit], x),
        rows: make('rows', 'u32', [rows], rowOf),
        columns: make('columns', 'u32', [parts], chosen),
        values: values ? make('values', 'f32', [values, parts, unit], given) : undefined,
        scale,
        constant,
        label: 'y',
      };
      return (rec, options) => edit(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, columns);
        if (rowOf[row] === keptRow || !chosen[Math.floor(column / unit)]) return x[index];
        return (scale ?? 0) * x[index] + (values ? given[rowOf[row] * columns + column] : constant);
      },
    }),
  };
}

export const editProblems = () =>
  [
    { rows: 1, parts: 1, unit: 1 },
    { rows: 7, parts: 3, unit: 5, constant: 0.25 },
    { rows: 5, parts: 4, unit: 24, scale: -1.5 },
    { rows: 5, parts: 4, unit: 24, scale: 1, values: 2 },
    { rows: 13, parts: 2, unit: 6, values: 3 },
    { rows: 130, parts: 1, unit: 64, scale: 0.5, values: 1 },
    { rows: 4, parts: 9, unit: 1, constant: Math.fround(-3.4028235e38) },
  ].map(editProblem);
