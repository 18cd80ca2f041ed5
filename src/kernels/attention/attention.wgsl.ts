import { declare, type Format } from '../../gpu/formats/format.ts';
import { dotProduct, dotVectorWgsl, type VectorWidth, vectorType } from '../vectors.ts';
import { intervalWgsl, lastBindings, type Mask, reachWgsl } from './mask.wgsl.ts';

/**
 * Attention with online softmax: z = softmax(q·kᵀ·scale + mask)·v, block of keys by block of keys with a running maximum
 * (`peak`) and sum (`total`) for each query (Milakov and Gimelshein 2018; Dao et al. 2022). No score reaches memory.
 *
 * decode Few queries of many keys, split over workgroups: decode.wgsl.ts.
 * split  Few queries (decoding; the last position alone). A workgroup of 128 threads for one query of one head, 128 keys at a
 *        time. 8 neighbouring threads share a key, so that they read 8 neighbouring vectors; their parts of the dot products
 *        meet in workgroup memory. Then each thread has one vector of the head and every `groups`-th key's value.
 * tile   Many queries. A workgroup for 16 or 32 queries of one head. A thread scores 4 queries x 4 keys from registers (8
 *        vector loads for 16 dot products), then sums up 4 queries x up to 3 vectors of the head; in between, the weights pass
 *        through workgroup memory as vectors over queries. q, k and v are read from storage: neighbours hit the same lines.
 * quad   `tile` with one group of 4 threads: for software adapters, where a barrier costs each thread of the workgroup a
 *        switch of context.
 * broadcast  Many queries, for adapters whose subgroups are a CPU's vector registers: broadcast.wgsl.ts.
 *
 * None needs an optional feature. Head sizes: any; loads are of 4, 2 or 1 elements, whichever divides the size.
 *
 * Machine code (bench/isa): registers / multiply-adds in the loop over the keys, of its instructions / workgroup memory. Where
 * the compiler left the inner loops rolled (around 100 multiply-adds), their other instructions weigh more than when it runs.
 * No spills and no scratch memory for head sizes 16 to 256 on any of the four.
 *              RDNA3 (navi31)     RDNA2 (navi21)     GCN (renoir)       Ampere (NVK)      bytes
 *   split  64   84 / 121 of 597    64 / 121 of 544    48 / 113 of 568    51 / 129 of 645    7168
 *   split 128   84 / 249 of 1072   64 / 249 of 912    48 / 225 of 935    62 / 257 of 1068   7168
 *   tile   64   120 / 2036 of 3049 128 / 2036 of 2916 128 / 2036 of 2885 148 / 100 of 546   5120
 *   tile  128   120 / 4084 of 5897 128 / 4084 of 5610 128 / 100 of 405   148 / 100 of 586   5120
 * With a mask (mask.wgsl.ts), which adds a subtraction for each score; split is the same to an instruction:
 *   64  window  120 / 2036 of 3074 128 / 2036 of 2974 128 / 2036 of 2941 156 / 100 of 562   5120
 *   128 window  120 / 4084 of 5924 128 / 4084 of 5704 128 / 100 of 427   156 / 100 of 602   5120
 *   80          120 / 2804 of 4074 128 / 2804 of 3904 128 / 1316 of 1948 181 / 126 of 618   5120
 *   80  segm.   252 / 2804 of 3957 128 / 2804 of 3944 128 / 1316 of 2007 185 / 126 of 634   5120
 *   128 segm.   120 / 4084 of 5989 128 / 4084 of 5714 128 / 100 of 424   152 / 100 of 602   5120
 * 252 is a choice of Mesa's scheduler: half the waves and loads further ahead, 35 % faster in its own model than with 120.
 *
 * SwiftShader, 2 busy cores, CPU time / 2 (headlight bench --filter attention --rounds 3 --cpu-time), ms. It still zeroed workgroup
 * memory itself, which cost split and tile more than quad; split since then: decode.wgsl.ts.
 *                                        quad   tile   split
 *   full 37 x 37, 4 heads of 32           0.8    2.9
 *   full 65 x 65, 4 heads of 32           1.8    5.7
 *   causal 80 x 80, 8 heads of 16         2.0    8.4
 *   1 x 80, 8 heads of 16                 0.6             4.1
 *   full 577 x 577, 16 heads of 64        590    767
 *   1 x 640, 32 heads of 128               18              33
 *   1 x 4096, 28 on 4 heads of 128        103             107
 *   window 128, 1024 x 1024, 8/2 of 128   217    382
 *   9 segments, 576 x 576, 16 heads of 80  78    138
 *
 * What did not work:
 * - more than 3 vectors of the head a thread (8 lanes at head size 128): 252 registers on RDNA3 and half the waves; with loops
 *   of a trip count that Dawn cannot see, 900 bytes of scratch on Ampere. Dawn gives each such loop a 64-bit counter against
 *   endless loops; constant counts took tile at 64 from 975 to 856 instructions on Ampere and from 151 registers to 116.
 * - 8 keys a thread: 252 registers on RDNA3 (3 waves instead of 6) for 3 % more multiply-adds in the loop.
 * - the interval of a mask as two comparisons a score in place of key - first < span: 24 instructions more on Ampere. Reading it
 *   anew for each block of keys: 4 registers fewer on Ampere, 24 instructions more.
 * - masking the weights again after the exponential: 16 comparisons kept alive through two barriers. `hidden` does without.
 * - workgroups of 64 to 128 threads on SwiftShader: split took 260 ms of CPU for 65 x 65 where quad takes 2.3.
 * - quad with q and the weights through subgroupBroadcast in place of loads and workgroup memory: 10 to 30 % faster on
 *   SwiftShader, twice as long to compile, and only for a subgroup size that is known: not worth a variant.
 * - quad with 8 keys a thread, with 8 threads, as 2x2 or 4x1 threads: within 20 % of each other, up to 3 times as long to compile.
 */

/** What is fixed for a model, and therefore part of the WGSL source. */
export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly width: VectorWidth;
  readonly mask?: Mask;
  /** How k and v are stored, where they are not f32. */
  readonly stored?: Format;
}

/** Params of all variants and of the scores kernel; sizes in the shader are in vectors of `width`. */
export const attentionHeader = ({ heads, kvHeads, headSize, width, mask }: AttentionShape) => /* wgsl */ `
alias Vector = ${vectorType(width)};
struct Params {
  queries: u32,
  keys: u32,
  keyRows: u32, // of a sequence in k and v; the first \`keys\` count
  offset: u32,  // query i sees the keys up to offset + i
  scale: f32,
  window: u32,  // for that mask
}
const heads = ${heads}u;
const kvHeads = ${kvHeads}u;
const chunks = ${headSize / width}u; // vectors in a head
const pitch = kvHeads * chunks; // from one key to the next
${dotVectorWgsl(width)}
// The first key that a query sees, and the one after the last: at least one.
${intervalWgsl(mask)}
`;

/** What the WGSL source of every variant begins with, and a custom kernel's is put behind: that one sees k and v in f32. */
export const attentionContract = (shape: AttentionShape) => /* wgsl */ `${attentionHeader(shape)}
@group(0) @binding(0) var<storage, read> q: array<Vector>;
${keyValueBindings(shape)}
@group(0) @binding(3) var<storage, read_write> z: array<Vector>;
${lastBindings(4, shape.mask)}
`;

/** `k` and `v` at 1 and 2. */
export const keyValueBindings = ({ width, stored }: AttentionShape): string =>
  ['k', 'v']
    .flatMap((name, i) => {
      if (!stored) return declare(i + 1, name, 'Vector');
      const of = width === 4 ? 4 : 1;
      return [...stored.bindings(i + 1, name, of), stored.reader(name, of)];
    })
    .join('\n');

/** Vector `i` of `k` or `v`. */
export const readKeyValue =
  ({ stored }: AttentionShape) =>
  (name: 'k' | 'v', i: string) =>
    stored ? `${name}At(${i})` : `${name}[${i}]`;

export const limitsWgsl = /* wgsl */ `
// The score of a key that the query does not see, and the peak before the first key that it does, which need not be in the
// first block of its tile. The peak only grows from there, so that a hidden key weighs exp2(hidden - peak) = 0 at all times;
// were both the same, each would weigh exp2(0) until then. No score is as low as that.
const hidden = -1e30;
const noPeak = -1e29;
const log2e = 1.4426950408889634;
`;

export const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');
export const xyzw = ['x', 'y', 'z', 'w'];

const splitThreads = 128;

/** Variant `split`: few queries. */
export function attentionSplitWgsl(shape: AttentionShape): string {
  const { headSize, width } = shape;
  const chunks = headSize / width;
  const lanes = chunks <= 64 ? 8 : 16; // of a key
  const perLane = Math.ceil(chunks / lanes); // vectors of the key
  const groups = Math.max(1, Math.floor(splitThreads / chunks)); // of threads, each with every groups-th value
  const turns = Math.ceil(splitThreads / groups);
  const rounds = Math.ceil(chunks / splitThreads); // vectors of the output that a thread sums up
  const read = readKeyValue(shape);
  return /* wgsl */ `${attentionContract(shape)}${limitsWgsl}
const threads = ${splitThreads}u; // and keys in a block
const lanes = ${lanes}u;
const groups = ${groups}u;
const partPitch = threads + 8u; // off the bank of the lane before
var<workgroup> parts: array<f32, lanes * partPitch>;
var<workgroup> weights: array<f32, ${turns * groups}>; // those past the block's keys stay 0
var<workgroup> partial: array<f32, 8>;
var<workgroup> merged: array<Vector, threads>;

@compute @workgroup_size(threads) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
  let head = id.y;
  let lane = t % lanes;
  let group = t / chunks;
  let qStart = ((id.z * params.queries + id.x) * heads + head) * chunks;
  let kvStart = (id.z * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks;
  let seen = interval(id.x);
  let limit = seen.y;
  let scale = params.scale * log2e;
  ${lines(perLane, (i) => {
    const c = `min(lane + ${i * lanes}u, chunks - 1u)`;
    const inside = (i + 1) * lanes <= chunks;
    return `let c${i} = kvStart + ${c}; let q${i} = ${inside ? `q[qStart + ${c}]` : `select(Vector(), q[qStart + ${c}], lane + ${i * lanes}u < chunks)`};`;
  })}

  var peak = noPeak;
  var total = 0.0;
  ${lines(rounds, (r) => `var acc${r} = Vector();`)}
  for (var start = seen.x; start < limit; start += threads) {
    for (var i = 0u; i < lanes; i++) {
      let key = i * (threads / lanes) + t / lanes;
      let at = min(start + key, limit - 1u) * pitch;
      var part = 0.0;
      ${lines(perLane, (i) => `part += ${dotProduct(width, `q${i}`, read('k', `at + c${i}`))};`)}
      parts[lane * partPitch + key] = part;
    }
    workgroupBarrier();
    var score = 0.0;
    for (var i = 0u; i < lanes; i++) { score += parts[i * partPitch + t]; }
    score = select(hidden, score * scale, start + t < limit);
    weights[t] = score;
    workgroupBarrier();
    if (t < 8u) {
      var largest = hidden;
      for (var i = 0u; i < threads / 8u; i++) { largest = max(largest, weights[i * 8u + t]); }
      partial[t] = largest;
    }
    workgroupBarrier();
    let before = peak;
    for (var i = 0u; i < 8u; i++) { peak = max(peak, partial[i]); }
    let shrink = exp2(before - peak);
    let weight = exp2(score - peak);
    total = total * shrink + weight;
    weights[t] = weight;
    workgroupBarrier();
    if (group < groups) {
      ${lines(rounds, (r) => `acc${r} *= shrink;`)}
      for (var n = 0u; n < ${turns}u; n++) {
        let i = n * groups + group;
        let at = kvStart + min(start + i, limit - 1u) * pitch + t - group * chunks;
        ${
          rounds === 1
            ? `acc0 += weights[i] * ${read('v', 'at')};`
            : lines(
                rounds,
                (r) =>
                  `if (t + ${r * splitThreads}u < chunks) { acc${r} += weights[i] * ${read('v', `at + ${r * splitThreads}u`)}; }`,
              )
        }
      }
    }
  }

  workgroupBarrier();
  weights[t] = total;
  merged[t] = acc0;
  workgroupBarrier();
  total = 0.0;
  for (var i = 0u; i < threads; i++) { total += weights[i]; }
  if (t < chunks) {
    for (var g = 1u; g < groups; g++) { acc0 += merged[g * chunks + t]; }
  }
  ${lines(rounds, (r) => `if (t + ${r * splitThreads}u < chunks) { z[qStart + t + ${r * splitThreads}u] = acc${r} / total; }`)}
}`;
}

/** How `tile` and `quad` divide a workgroup: `groups` of 4 queries, times `lanes` that share keys and vectors of the head. */
export interface AttentionTile {
  readonly groups: number;
  readonly lanes: number;
  /** Keys that a thread scores at once. */
  readonly keysPerThread: number;
}

/** Variants `tile` and `quad`: many queries. */
export function attentionTileWgsl(shape: AttentionShape, { groups, lanes, keysPerThread }: AttentionTile): string {
  const { headSize, width } = shape;
  const chunks = headSize / width;
  const rounds = Math.ceil(chunks / lanes); // vectors of the output that a thread sums up for each of its queries
  const read = readKeyValue(shape);
  const component = (vector: string, i: number) => (width === 1 ? vector : `${vector}.${xyzw[i]}`);
  return /* wgsl */ `${attentionContract(shape)}${limitsWgsl}
const groups = ${groups}u;
const lanes = ${lanes}u;
const tile = ${lanes * keysPerThread}u; // keys
var<workgroup> weights: array<vec4f, tile * groups>; // of a key, for 4 queries
var<workgroup> partial: array<vec4f, lanes * groups>;

${reachWgsl(shape.mask, 4 * groups)}

@compute @workgroup_size(${groups * lanes}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = t % groups;
  let lane = t / groups;
  let head = id.y;
  let query = (id.x * groups + group) * 4u;
  let lastQuery = params.queries - 1u;
  let qRow = id.z * params.queries;
  let kvStart = (id.z * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks;
  let range = reach(id.x * groups * 4u);
  let limit = range.y;
  ${lines(4, (i) => `let seen${i} = interval(query + ${i}u);`)}
  let first = vec4u(seen0.x, seen1.x, seen2.x, seen3.x);
  let span = vec4u(seen0.y, seen1.y, seen2.y, seen3.y) - first;
  let scale = params.scale * log2e;
  ${lines(4, (i) => `let qAt${i} = ((qRow + min(query + ${i}u, lastQuery)) * heads + head) * chunks;`)}

  var peak = vec4f(noPeak);
  var total = vec4f();
  ${lines(rounds * 4, (i) => `var acc${i} = Vector();`)}
  for (var start = range.x; start < limit; start += tile) {
    ${lines(
      keysPerThread,
      (j) => `
    let key${j} = start + lane + ${j * lanes}u;
    let kAt${j} = kvStart + min(key${j}, limit - 1u) * pitch;
    var s${j} = vec4f();`,
    )}
    for (var c = 0u; c < chunks; c++) {
      ${lines(4, (i) => `let q${i} = q[qAt${i} + c];`)}
      ${lines(width, (d) => `let d${d} = vec4f(${[0, 1, 2, 3].map((i) => component(`q${i}`, d)).join(', ')});`)}
      ${lines(
        keysPerThread,
        (j) => `
      let k${j} = ${read('k', `kAt${j} + c`)};
      ${lines(width, (d) => `s${j} = fma(d${d}, vec4f(${component(`k${j}`, d)}), s${j});`)}`,
      )}
    }
    var newPeak = peak;
    ${lines(
      keysPerThread,
      (j) => `
    s${j} = select(vec4f(hidden), s${j} * scale, vec4u(key${j}) - first < span); // a key before the first wraps around
    newPeak = max(newPeak, s${j});`,
    )}
    partial[t] = newPeak;
    workgroupBarrier();
    for (var i = 0u; i < lanes; i++) { newPeak = max(newPeak, partial[i * groups + group]); }
    let shrink = exp2(peak - newPeak);
    peak = newPeak;
    total *= shrink;
    ${lines(
      keysPerThread,
      (j) => `
    s${j} = exp2(s${j} - peak);
    total += s${j};
    weights[(lane + ${j * lanes}u) * groups + group] = s${j};`,
    )}
    workgroupBarrier();
    ${lines(rounds * 4, (i) => `acc${i} *= shrink.${xyzw[i % 4]};`)}
    for (var i = 0u; i < tile; i++) {
      let w = weights[i * groups + group];
      let at = kvStart + min(start + i, limit - 1u) * pitch;
      ${lines(
        rounds,
        (r) => `
      let v${r} = ${read('v', `at + ${(r + 1) * lanes <= chunks ? `lane + ${r * lanes}u` : `min(lane + ${r * lanes}u, chunks - 1u)`}`)};
      ${lines(4, (i) => `acc${4 * r + i} = fma(Vector(w.${xyzw[i]}), v${r}, acc${4 * r + i});`)}`,
      )}
    }
  }

  partial[t] = total;
  workgroupBarrier();
  total = vec4f();
  for (var i = 0u; i < lanes; i++) { total += partial[i * groups + group]; }
  ${lines(rounds, (r) =>
    lines(
      4,
      (i) =>
        `if (lane + ${r * lanes}u < chunks && query + ${i}u <= lastQuery) { z[qAt${i} + lane + ${r * lanes}u] = acc${4 * r + i} / total.${xyzw[i]}; }`,
    ),
  )}
}`;
}
