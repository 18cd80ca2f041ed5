/**
 * Which keys a query sees: always an interval, never empty, and part of the WGSL source, so that nobody pays for the mask of
 * another. Without a name: the keys up to the query's position (all of them, with an offset past the last).
 *
 * window    the last `params.window` of those: sliding-window attention.
 * segments  an interval for each query from a tensor: images, frames or windows of a row that do not see each other.
 */
export type Mask = 'window' | 'segments';

/** `interval(query)`: the first key that a query sees, and the one after the last. */
export function intervalWgsl(mask: Mask | undefined): string {
  if (mask === 'segments')
    return 'fn interval(query: u32) -> vec2u { return segments[min(query, params.queries - 1u)]; }';
  const first = mask === 'window' ? 'end - min(end, params.window)' : '0u';
  return /* wgsl */ `fn interval(query: u32) -> vec2u {
  let end = params.offset + query + 1u;
  return vec2u(${first}, min(params.keys, end));
}`;
}

/** `reach(first)`: the keys that some of so many queries from `first` on sees, and those in between. */
export function reachWgsl(mask: Mask | undefined, queries: number): string {
  if (mask !== 'segments')
    return /* wgsl */ `fn reach(first: u32) -> vec2u {
  return vec2u(interval(first).x, interval(min(params.queries, first + ${queries}u) - 1u).y);
}`;
  return /* wgsl */ `fn reach(first: u32) -> vec2u {
  var all = interval(first);
  for (var i = 1u; i < ${queries}u; i++) { // a constant count: the loads need not wait for each other
    let one = interval(first + i);
    all = vec2u(min(all.x, one.x), max(all.y, one.y));
  }
  return all;
}`;
}

/** The bindings from number `next` on: the tensor of `segments`, if that is the mask, and the params. */
export function lastBindings(next: number, mask: Mask | undefined): string {
  const segments = `@group(0) @binding(${next}) var<storage, read> segments: array<vec2u>;\n`;
  const params = (binding: number) => `@group(0) @binding(${binding}) var<uniform> params: Params;`;
  return mask === 'segments' ? segments + params(next + 1) : params(next);
}
