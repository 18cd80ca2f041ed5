import type { Format } from '../../gpu/formats/format.ts';

/** Threads of a workgroup. */
export const convertThreads = 64;

/**
 * A thread for each unit of the format that is written (64 elements of q8 and q4): reads them, and stores them. It runs while a checkpoint
 * is loaded, beside reading from a disk, which is slower than any GPU: one variant, for the rows of any matrix whose length is a
 * multiple of 4.
 * @param to one that has a writer.
 */
export function convertWgsl(from: Format, to: Format): string {
  const { bindings, store, unit } = to.writer!;
  const read = from.bindings(0, 'source', 4);
  const outputs = bindings(read.length, 'written');
  return /* wgsl */ `
${[...read, ...outputs].join('\n')}
// units: to store; firstUnit: where, in the target; vectors: of four numbers, in the source
struct Params { units: u32, firstUnit: u32, vectors: u32 }
@group(0) @binding(${read.length + outputs.length}) var<uniform> params: Params;
${from.reader('source', 4)}
${store('written')}
@compute @workgroup_size(${convertThreads}) fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let u = (group.y * groups.x + group.x) * ${convertThreads}u + local;
  if (u >= params.units) { return; }
  var values: array<vec4f, ${unit / 4}>;
  for (var i = 0u; i < ${unit / 4}u; i++) {
    let at = u * ${unit / 4}u + i;
    if (at < params.vectors) { values[i] = sourceAt(at); }
  }
  writtenStore(params.firstUnit + u, &values);
}`;
}
