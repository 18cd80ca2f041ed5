import type { AttentionVariant } from '../../kernels/attention/attention.ts';
import { attentionProblem } from '../../kernels/attention/problem.ts';
import { type AttentionSizes, attentionCase, blocks } from '../../kernels/attention/reference.ts';
import { type BenchmarkGroup, groupOf, variantsOf } from './group.ts';

interface Sizes extends AttentionSizes {
  readonly what: string;
  /** How k and v are stored. Default f32. */
  readonly stored?: 'f16';
  /** With causal: the last so many keys. */
  readonly window?: number;
  /** Without: lengths of the segments that see themselves. */
  readonly lengths?: readonly number[];
}

const table: Sizes[] = [
  { what: 'tower of the embedded checkpoint', ...square(37), heads: 4, kvHeads: 4, headSize: 32, causal: false },
  { what: 'tower at 64x64', ...square(65), heads: 4, kvHeads: 4, headSize: 32, causal: false },
  { what: 'decoder of the embedded checkpoint', ...square(80), heads: 8, kvHeads: 8, headSize: 16, causal: true },
  { what: 'its next token', queries: 1, keys: 80, heads: 8, kvHeads: 8, headSize: 16, causal: true },
  { what: 'CLIP-L/14 at 336', ...square(577), heads: 16, kvHeads: 16, headSize: 64, causal: false },
  { what: 'LLaVA-1.5-7B', ...square(640), heads: 32, kvHeads: 32, headSize: 128, causal: true },
  { what: 'its next token', queries: 1, keys: 640, heads: 32, kvHeads: 32, headSize: 128, causal: true },
  { what: 'grouped, next token', queries: 1, keys: 4096, heads: 28, kvHeads: 4, headSize: 128, causal: true },
  { what: 'grouped, long text', queries: 1, keys: 16384, heads: 28, kvHeads: 4, headSize: 128, causal: true },
  {
    what: 'the same in f16',
    queries: 1,
    keys: 16384,
    heads: 28,
    kvHeads: 4,
    headSize: 128,
    causal: true,
    stored: 'f16',
  },
  { what: 'Mistral, scaled', ...square(1024), heads: 8, kvHeads: 2, headSize: 128, causal: true, window: 128 },
  {
    what: 'Qwen2.5-VL at 336',
    ...square(576),
    heads: 16,
    kvHeads: 16,
    headSize: 80,
    causal: false,
    lengths: Array(9).fill(64),
  },
];

function square(length: number): { queries: number; keys: number } {
  return { queries: length, keys: length };
}

export const attentionBenchmarks: BenchmarkGroup[] = table.map(({ what, lengths, ...sizes }) => {
  const { queries, keys, heads, kvHeads, headSize, causal, window } = sizes;
  const grouped = heads === kvHeads ? '' : `/${kvHeads}`;
  const mask = lengths ? 'segments' : window ? 'window' : causal ? 'causal' : 'full';
  const masked = lengths ? `${lengths.length} segments` : window ? `window ${window}` : mask;
  const name = `${masked} ${queries} x ${keys}, ${heads}${grouped} heads of ${headSize} (${what})`;
  const keysSeen = lengths?.[0] ?? window ?? (causal && queries > 1 ? keys / 2 : keys);
  return groupOf<AttentionVariant>({
    op: 'attention',
    sizes: name,
    flops: 4 * heads * headSize * queries * keysSeen,
    mask,
    problem: () => attentionProblem(name, attentionCase({ ...sizes, segments: lengths && blocks(...lengths) })),
    others(call, { capabilities }) {
      // What a variant was not made for takes a software adapter minutes.
      const variants: AttentionVariant[] = [];
      if (queries <= 16) variants.push('split');
      if (queries <= 4) variants.push('decode');
      if (queries > 1) variants.push('tile');
      if (capabilities.software) variants.push('quad');
      if (capabilities.software && queries >= 256) variants.push('broadcast');
      return variantsOf(call, variants);
    },
  });
});
