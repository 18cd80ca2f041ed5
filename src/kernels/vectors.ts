/** How many numbers a kernel loads at once. */
export type VectorWidth = 1 | 2 | 4;

/** The widest vector that divides every one of the counts. */
export function vectorWidth(...counts: number[]): VectorWidth {
  for (const width of [4, 2] as const) if (counts.every((n) => n % width === 0)) return width;
  return 1;
}

/** `vec4<f32>`, `vec2<f32>` or `f32`. */
export const vectorType = (width: VectorWidth, scalar: 'f32' | 'u32' = 'f32'): string =>
  width === 1 ? scalar : `vec${width}<${scalar}>`;

/** WGSL of the dot product of two such vectors: `dot` takes no scalars. */
export const dotProduct = (width: VectorWidth, a: string, b: string): string =>
  width === 1 ? `${a} * ${b}` : `dot(${a}, ${b})`;

/** WGSL `dotVector(a, b)`: the same as a function of `Vector`, for WGSL source that is not made for one width. */
export const dotVectorWgsl = (width: VectorWidth): string =>
  `fn dotVector(a: Vector, b: Vector) -> f32 { return ${dotProduct(width, 'a', 'b')}; }`;

/**
 * Workgroup counts [x, y] with x * y >= `count`, each within the limit of one dimension; the kernel numbers its workgroups
 * `id.x + id.y * count.x` and drops those past the end.
 */
export function foldWorkgroups(count: number, limit: number): [x: number, y: number] {
  if (count <= limit) return [count, 1];
  const y = Math.ceil(count / limit);
  return [Math.ceil(count / y), y];
}
