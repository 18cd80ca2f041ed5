import { type AttentionShape, attentionContract, limitsWgsl, lines, readKeyValue, xyzw } from './attention.wgsl.ts';
import { reachWgsl } from './mask.wgsl.ts';

/** Threads of a workgroup, queries of each, and keys between two barriers. */
const threads = 32;
const own = 2;
const keys = 2;

/** Queries of a workgroup. */
export const broadcastQueries = threads * own;

/**
 * Variant `broadcast`: many queries, for adapters whose subgroups are a CPU's vector registers (lavapipe). A thread has two queries of
 * its own: they, their sums and their softmax stay in its variables, which nobody else needs. Keys and values pass through workgroup
 * memory, two keys at a time, and all threads read the same number at once. lavapipe makes that one load, which fills a register of
 * 8 lanes; where lanes read different places (`tile`, `quad`) it has a load and a test of bounds for each.
 *
 * lavapipe 26.2 (LLVM 22, 8 lanes), CPU time of the threads that compute, in turns in one process, busy machine, over that of `quad` and
 * of ONNX Runtime's FlashAttention, medians of 5 to 7 rounds; and seconds to compile, of which Mesa keeps the result on the disk:
 *     threads, queries of each, keys   full 577x577, 4 heads of 64   causal 320x320, 4 of 128   seconds
 *     32, 2, 2                         0.20 to 0.25, 0.46 to 0.54   0.24 to 0.29, 0.53 to 0.57   1.3, 3 to 5
 *     32, 2, 4                                       0.49 to 0.59           0.53                3,   6
 *     64, 2, 4                         0.16,         0.35 to 0.45   0.35,   0.62 to 0.69         2.1, 6
 *     64, 1, 4                                       0.57 to 0.64           0.56 to 0.67        1.4, 2.5
 *     quad                             1,            2.1            1,      2.0 to 2.2          0.1
 * What did not help: keys and values from storage (each number costs ten instructions of tests), two tiles in turns with one barrier,
 * local_invocation_index (three divisions a lane), loops over the head with arrays (compilers unroll them). On SwiftShader, where any load
 * costs the same, full 577x577 takes 1.2 (64, 2, 4) to 3.9 (64, 1, 8) of the time of `quad`.
 */
export function attentionBroadcastWgsl(shape: AttentionShape): string {
  const { headSize, width } = shape;
  const chunks = headSize / width;
  const read = readKeyValue(shape);
  const component = (vector: string, i: number) => (width === 1 ? vector : `${vector}.${xyzw[i]}`);
  const each = (line: (query: number) => string) => lines(own, line);
  const eachKey = (line: (key: number) => string) => lines(keys, line);
  const eachChunk = (line: (chunk: number) => string) => lines(chunks, line);
  const ofKeys = (name: string, separator: string) => Array.from({ length: keys }, (_, j) => name + j).join(separator);
  return /* wgsl */ `${attentionContract(shape)}${limitsWgsl}
const threads = ${threads}u;
const own = ${own}u; // queries of a thread
const keys = ${keys}u; // of a tile
var<workgroup> kTile: array<Vector, keys * chunks>;
var<workgroup> vTile: array<Vector, keys * chunks>;

${reachWgsl(shape.mask, broadcastQueries)}

@compute @workgroup_size(threads) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let t = local.x;
  let head = id.y;
  let firstQuery = id.x * threads * own;
  let kvStart = (id.z * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks;
  let range = reach(firstQuery);
  let scale = params.scale * log2e;
  ${each(
    (i) => `
  let query${i} = firstQuery + t + ${i}u * threads;
  let qAt${i} = ((id.z * params.queries + min(query${i}, params.queries - 1u)) * heads + head) * chunks;
  let seen${i} = interval(query${i});
  var peak${i} = noPeak;
  var total${i} = 0.0;
  ${eachChunk((c) => `let q${i}_${c} = q[qAt${i} + ${c}u] * scale; var acc${i}_${c} = Vector();`)}`,
  )}
  for (var start = range.x; start < range.y; start += keys) {
    workgroupBarrier();
    for (var i = t; i < keys * chunks; i += threads) {
      let at = kvStart + min(start + i / chunks, range.y - 1u) * pitch + i % chunks;
      kTile[i] = ${read('k', 'at')};
      vTile[i] = ${read('v', 'at')};
    }
    workgroupBarrier();
    ${each((i) => eachKey((j) => `var s${i}_${j} = 0.0;`))}
    ${eachChunk((c) =>
      eachKey(
        (j) => `{ let key = kTile[${j}u * chunks + ${c}u];
      ${each((i) => lines(width, (d) => `s${i}_${j} = fma(${component(`q${i}_${c}`, d)}, ${component('key', d)}, s${i}_${j});`))} }`,
      ),
    )}
    ${each(
      (i) => `
    ${eachKey((j) => `s${i}_${j} = select(hidden, s${i}_${j}, start + ${j}u - seen${i}.x < seen${i}.y - seen${i}.x); // a key before the first wraps around`)}
    let newPeak${i} = max(peak${i}, max(${ofKeys(`s${i}_`, ', ')}));
    let shrink${i} = exp2(peak${i} - newPeak${i});
    peak${i} = newPeak${i};
    ${eachKey((j) => `s${i}_${j} = exp2(s${i}_${j} - peak${i});`)}
    total${i} = total${i} * shrink${i} + (${ofKeys(`s${i}_`, ' + ')});`,
    )}
    ${eachChunk(
      (c) => `
    ${each((i) => `acc${i}_${c} *= shrink${i};`)}
    ${eachKey((j) => `{ let value = vTile[${j}u * chunks + ${c}u]; ${each((i) => `acc${i}_${c} = fma(Vector(s${i}_${j}), value, acc${i}_${c});`)} }`)}`,
    )}
  }
  ${each((i) => `if (query${i} < params.queries) { ${eachChunk((c) => `z[qAt${i} + ${c}u] = acc${i}_${c} / total${i};`)} }`)}
}`;
}
