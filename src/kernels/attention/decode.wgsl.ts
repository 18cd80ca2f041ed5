import { dotProduct, vectorType } from '../vectors.ts';
import {
  type AttentionShape,
  attentionHeader,
  keyValueBindings,
  limitsWgsl,
  lines,
  readKeyValue,
} from './attention.wgsl.ts';
import { lastBindings } from './mask.wgsl.ts';

/**
 * Variant `decode` (Flash-Decoding, Dao et al. 2023): few queries of many keys. The keys of a query are split over workgroups, each of
 * which sums up its own with online softmax; `merge` then weighs the sums by their maxima. A workgroup has the query heads that share
 * a key/value head (8 at most), so that each key and value is read from memory once for all of them.
 *
 * A workgroup of 128 threads takes 128 keys at a time. 8 neighbouring threads share a key, as in `split`, and have the dot products with
 * all heads' queries, which lie in workgroup memory. Then 16 threads a head turn scores into weights, and each thread has one vector of
 * the values for all heads. A token of LLaVA-1.5-7B (32 heads) at 640 positions has 160 workgroups in place of 32, one of
 * Qwen2-7B (28 heads on 4) at 16,384 has 512 in place of 28, which read each key once and not seven times.
 *
 * Machine code: registers / multiply-adds in the loop over the keys, of its instructions / workgroup memory. No spills, no scratch memory.
 *                RDNA3 (navi31)   RDNA2 (navi21)   GCN (renoir)     Ampere (NVK)     bytes
 *   32 on 32, 128      120 / 124 of 618   64 / 124 of 523   64 / 100 of 528   78 / 133 of 723    8192
 *   28 on  4, 128       72 / 133 of 713   72 / 133 of 601   72 / 112 of 625  142 / 135 of 823   14336
 *   32 on  8, 128      132 / 136 of 663  128 / 136 of 570  128 / 112 of 602  166 / 142 of 776   11776
 *   14 on  2, 64        72 /  77 of 592   64 /  77 of 522   64 /  70 of 523  132 /  79 of 744   12800
 *   8 on 4, 256        228 / 504 of 1419 128 / 504 of 1228 128 / 392 of 1328 162 / 511 of 1513  10240
 * In f16 none takes more registers. merge: 24, 16, 16 and 22 registers.
 *
 * Of software adapters lavapipe takes it, where more than two heads share keys. In SwiftShader a barrier costs each thread of the workgroup a switch of context (attention.wgsl.ts);
 * 2 shared cores at load 10, CPU time / 2 (headlight bench --filter "1 x" --rounds 5 --cpu-time), ms. In brackets what it was while
 * SwiftShader itself zeroed workgroup memory (node-gpu.ts):
 *                                quad          split         decode
 *   1 x 80, 8 heads of 16       0.3 (0.3)     1.7 (8.1)     2.4 (9.0)
 *   1 x 640, 32 heads of 128     38 (32)       37 (47)       97 (202)
 *   1 x 4096, 28 on 4 of 128    160 (179)     151 (159)     133 (328)
 *   1 x 16384, 28 on 4 of 128   734 (907)     617 (648)     660 (1377)
 *   the same in f16             893 (815)     542 (597)     728 (1488)
 * On lavapipe (Mesa 26.2, 2 quiet cores, medians of 3 turns in one run) it wins where heads share keys, though all of it runs on a CPU. It
 * takes 3 s to compile, of which Mesa keeps the result on the disk:
 *                                quad   split  decode
 *   1 x 640, 32 heads of 128       10     7.9      11
 *   1 x 4096, 28 on 4 of 128       58      35      20
 *   1 x 16384, 28 on 4 of 128     265     202      79
 *   the same in f16               228     141      65
 * No GPU has timed it: what speaks for it there are the counts above.
 */
const threads = 128; // and keys of a block
const perHead = 16; // threads that turn a head's scores into weights

/** The keys of a workgroup at once: blocks, of which a split is a multiple. */
const decodeBlock = threads;

/** Workgroups of a run at most, where blocks are enough: some for each processor of a large GPU. */
const usual = 512;

/** Query heads of a workgroup: those of a key/value head, or a part of them. */
export function decodeHeads({
  heads,
  kvHeads,
  headSize,
}: Pick<AttentionShape, 'heads' | 'kvHeads' | 'headSize'>): number {
  const group = heads / kvHeads;
  let most = Math.min(threads / perHead, group);
  while (group % most || (most > 1 && most * headSize > 1024)) most--;
  return most;
}

/**
 * Into how many parts the keys of each query are split.
 * @param workgroups that there would be without a split.
 * @param keys that a query sees at most.
 * @param wanted workgroups at most, where blocks are enough.
 */
export function decodeSplits(workgroups: number, keys: number, wanted = usual): number {
  const blocks = Math.ceil(keys / decodeBlock);
  const each = Math.ceil(blocks / Math.min(blocks, Math.ceil(wanted / workgroups)));
  return Math.ceil(blocks / each);
}

/** A head's vectors must each have a thread. */
export const decodes = ({ headSize, width, mask }: Pick<AttentionShape, 'headSize' | 'width' | 'mask'>): boolean =>
  headSize / width <= threads && mask !== 'segments';

const partialBindings = (first: number, access: string) => /* wgsl */ `
@group(0) @binding(${first}) var<storage, ${access}> partial: array<Vector>; // of each query, head and split: the sum
@group(0) @binding(${first + 1}) var<storage, ${access}> stats: array<vec2f>; // its maximum and the sum of its weights`;

export function attentionDecodeWgsl(shape: AttentionShape): string {
  const { headSize, width, heads, kvHeads } = shape;
  const chunks = headSize / width;
  const own = decodeHeads(shape);
  const lanes = chunks <= 64 ? 8 : 16; // of a key
  const perLane = Math.ceil(chunks / lanes);
  const atOnce = threads / lanes; // keys
  // Keys between two barriers: their parts take at most about 5 KiB.
  let passes = 8;
  while (passes > 1 && own * passes * threads * 4 > 4096) passes /= 2;
  const slots = passes * atOnce;
  const groups = Math.floor(threads / chunks); // of threads, each with every groups-th value
  const read = readKeyValue(shape);
  return /* wgsl */ `${attentionHeader(shape)}
@group(0) @binding(0) var<storage, read> q: array<Vector>;
${keyValueBindings(shape)}
${partialBindings(3, 'read_write')}
${lastBindings(5, shape.mask)}
${limitsWgsl}
const threads = ${threads}u;
const own = ${own}u; // heads of this workgroup
const lanes = ${lanes}u;
const slots = ${slots}u;
const groups = ${groups}u;
const pitch8 = slots + 4u; // off the banks of the lane before
var<workgroup> queries: array<Vector, own * chunks>;
var<workgroup> parts: array<f32, own * lanes * pitch8>;
var<workgroup> weights: array<f32, own * threads>;
var<workgroup> maxima: array<f32, threads>;
var<workgroup> peaks: array<f32, own>;
var<workgroup> shrinks: array<f32, own>;
var<workgroup> merged: array<Vector, threads>;

@compute @workgroup_size(threads) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) t: u32) {
  let splits = count.x / params.queries;
  let query = id.x / splits;
  let split = id.x % splits;
  let row = id.z * params.queries + query;
  let firstHead = id.y * own;
  let kvStart = (id.z * params.keyRows * kvHeads + id.y / ${heads / kvHeads / own}u) * chunks;
  let seen = interval(query);
  let blocks = (seen.y - seen.x + threads - 1u) / threads;
  let each = (blocks + splits - 1u) / splits * threads;
  let begin = min(seen.x + split * each, seen.y);
  let limit = min(begin + each, seen.y);
  let scale = params.scale * log2e;
  let lane = t % lanes;
  let headOf = t / ${perHead}u; // whose scores this thread turns into weights
  let keyOf = t % ${perHead}u;
  let chunk = t % chunks;
  let group = t / chunks;

  for (var i = t; i < own * chunks; i += threads) { queries[i] = q[(row * heads + firstHead) * chunks + i]; }
  if (t < own) { peaks[t] = noPeak; }
  workgroupBarrier();
  var total = 0.0;
  ${lines(own, (h) => `var acc${h} = Vector();`)}
  for (var start = begin; start < limit; start += threads) {
    for (var base = 0u; base < threads; base += slots) {
      for (var i = 0u; i < ${passes}u; i++) {
        let slot = i * ${atOnce}u + t / lanes;
        let at = kvStart + min(start + base + slot, limit - 1u) * pitch;
        ${lines(perLane, (c) => {
          const inside = (c + 1) * lanes <= chunks;
          const vector = read(
            'k',
            inside ? `at + lane + ${c * lanes}u` : `at + min(lane + ${c * lanes}u, chunks - 1u)`,
          );
          return `let k${c} = ${inside ? vector : `select(Vector(), ${vector}, lane + ${c * lanes}u < chunks)`};`;
        })}
        for (var h = 0u; h < own; h++) {
          var part = 0.0;
          ${lines(perLane, (c) => {
            const inside = (c + 1) * lanes <= chunks;
            return `part += ${dotProduct(width, `queries[h * chunks + ${inside ? `lane + ${c * lanes}u` : `min(lane + ${c * lanes}u, chunks - 1u)`}]`, `k${c}`)};`;
          })}
          parts[(h * lanes + lane) * pitch8 + slot] = part;
        }
      }
      workgroupBarrier();
      for (var i = t; i < own * slots; i += threads) {
        let h = i / slots;
        let slot = i % slots;
        var score = 0.0;
        for (var l = 0u; l < lanes; l++) { score += parts[(h * lanes + l) * pitch8 + slot]; }
        weights[h * threads + base + slot] = select(hidden, score * scale, start + base + slot < limit);
      }
      workgroupBarrier();
    }
    if (headOf < own) {
      var largest = hidden;
      for (var i = keyOf; i < threads; i += ${perHead}u) { largest = max(largest, weights[headOf * threads + i]); }
      maxima[t] = largest;
    }
    workgroupBarrier();
    if (t < own) {
      let before = peaks[t];
      var peak = before;
      for (var i = 0u; i < ${perHead}u; i++) { peak = max(peak, maxima[t * ${perHead}u + i]); }
      peaks[t] = peak;
      shrinks[t] = exp2(before - peak);
    }
    workgroupBarrier();
    if (headOf < own) {
      let peak = peaks[headOf];
      total *= shrinks[headOf];
      for (var i = keyOf; i < threads; i += ${perHead}u) {
        let weight = exp2(weights[headOf * threads + i] - peak);
        weights[headOf * threads + i] = weight;
        total += weight;
      }
    }
    workgroupBarrier();
    if (group < groups) {
      ${lines(own, (h) => `acc${h} *= shrinks[${h}u];`)}
      let end = min(threads, limit - start);
      for (var i = group; i < end; i += groups) {
        let value = ${read('v', 'kvStart + (start + i) * pitch + chunk')};
        ${lines(own, (h) => `acc${h} += weights[${h * threads}u + i] * value;`)}
      }
    }
    workgroupBarrier();
  }

  maxima[t] = total;
  let place = ((row * heads + firstHead) * splits + split);
  ${lines(
    own,
    (h) => /* wgsl */ `
  merged[t] = acc${h};
  workgroupBarrier();
  if (t < chunks) {
    var sum = merged[t];
    for (var g = 1u; g < groups; g++) { sum += merged[g * chunks + t]; }
    partial[(place + ${h}u * splits) * chunks + t] = sum;
  }
  workgroupBarrier();`,
  )}
  if (t < own) {
    var sum = 0.0;
    for (var i = 0u; i < ${perHead}u; i++) { sum += maxima[t * ${perHead}u + i]; }
    stats[place + t * splits] = vec2f(peaks[t], sum);
  }
}`;
}

export const mergeThreads = 64;

/** z from the sums of the splits, a thread for each vector. A split without keys has the sum 0. */
export const attentionMergeWgsl = ({ headSize, width }: Pick<AttentionShape, 'headSize' | 'width'>) => /* wgsl */ `
alias Vector = ${vectorType(width)};
struct Params { vectors: u32, splits: u32 }
${partialBindings(0, 'read')}
@group(0) @binding(2) var<storage, read_write> z: array<Vector>;
@group(0) @binding(3) var<uniform> params: Params;
const chunks = ${headSize / width}u;

@compute @workgroup_size(${mergeThreads}) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) count: vec3u) {
  let i = id.x + id.y * count.x * ${mergeThreads}u;
  if (i >= params.vectors) { return; }
  let first = i / chunks * params.splits;
  var peak = stats[first].x;
  for (var s = 1u; s < params.splits; s++) { peak = max(peak, stats[first + s].x); }
  var total = 0.0;
  var sum = Vector();
  for (var s = 0u; s < params.splits; s++) {
    let own = stats[first + s];
    let weight = exp2(own.x - peak);
    total += weight * own.y;
    sum += weight * partial[(first + s) * chunks + i % chunks];
  }
  z[i] = sum / total;
}`;
