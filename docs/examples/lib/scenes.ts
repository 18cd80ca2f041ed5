// Scenes such as tiny-llava was trained on: coloured shapes on the cells of a 3 x 3 grid, 48 x 48 pixels. Drawn here, and
// plainly (no texture, no noise, no tilt), so that what is in a picture is known and one thing of it can be changed alone.

const colors = {
  red: [220, 40, 40],
  green: [40, 170, 60],
  blue: [40, 80, 225],
  yellow: [240, 220, 50],
  purple: [140, 50, 180],
  orange: [245, 140, 30],
  cyan: [60, 210, 220],
  pink: [250, 140, 190],
} as const;
const grounds = { black: [18, 18, 22], gray: [112, 112, 112], white: [238, 238, 236] } as const;
/** Whether a point of [-1, 1] x [-1, 1], y downwards, lies in the shape. */
const inside = {
  circle: (x: number, y: number) => x * x + y * y <= 1,
  square: (x: number, y: number) => Math.max(Math.abs(x), Math.abs(y)) <= 0.86,
  triangle: (x: number, y: number) => y <= 0.8 && Math.abs(x) <= (0.98 * (y + 1)) / 1.8,
  cross: (x: number, y: number) => Math.min(Math.abs(x), Math.abs(y)) <= 0.34,
  ring: (x: number, y: number) => x * x + y * y <= 1 && x * x + y * y >= 0.21,
  diamond: (x: number, y: number) => Math.abs(x) / 0.68 + Math.abs(y) <= 1,
};

export type Color = keyof typeof colors;
export type Shape = keyof typeof inside;
export const colorNames = Object.keys(colors) as Color[];
export const shapeNames = Object.keys(inside) as Shape[];

export interface Thing {
  readonly color: Color;
  readonly shape: Shape;
  /** 0 to 8, row by row. */
  readonly cell: number;
}

export interface Scene {
  readonly things: readonly Thing[];
  readonly ground?: keyof typeof grounds;
}

const side = 48;
const size = 14;

/** RGB bytes [48, 48, 3], edges smoothed by 4 x 4 samples a pixel. */
export function draw({ things, ground = 'black' }: Scene) {
  const data = new Uint8Array(side * side * 3);
  for (let i = 0; i < data.length; i++) data[i] = grounds[ground][i % 3];
  for (const thing of things) {
    const [left, top] = [(thing.cell % 3) * 16 + 1, Math.floor(thing.cell / 3) * 16 + 1];
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        let covered = 0;
        for (let s = 0; s < 16; s++) {
          const [sx, sy] = [x + ((s % 4) + 0.5) / 4, y + (Math.floor(s / 4) + 0.5) / 4];
          if (inside[thing.shape]((2 * sx) / size - 1, (2 * sy) / size - 1)) covered += 1 / 16;
        }
        const at = ((top + y) * side + left + x) * 3;
        for (let c = 0; c < 3; c++)
          data[at + c] = Math.round(covered * colors[thing.color][c] + (1 - covered) * data[at + c]);
      }
  }
  return { width: side, height: side, data };
}

/** The four of the 6 x 6 patches that a thing covers, row by row. */
export function patchesOf({ cell }: Thing): number[] {
  const [row, column] = [2 * Math.floor(cell / 3), 2 * (cell % 3)];
  return [0, 1, 6, 7].map((offset) => row * 6 + column + offset);
}

/** `count` things of different colours, shapes and cells. */
export function someThings(random: () => number, count: number): Thing[] {
  const shapes = sample(random, shapeNames, count);
  const cells = sample(random, [0, 1, 2, 3, 4, 5, 6, 7, 8], count);
  return sample(random, colorNames, count).map((color, i) => ({ color, shape: shapes[i], cell: cells[i] }));
}

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` of the items, in random order. */
export function sample<T>(random: () => number, items: readonly T[], count: number): T[] {
  const left = [...items];
  return Array.from({ length: count }, () => left.splice(Math.floor(random() * left.length), 1)[0]);
}
