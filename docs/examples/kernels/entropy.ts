// The description of entropy.wgsl: `headlight bench --kernel docs/examples/kernels/entropy.ts` takes it too.
import { readFile } from 'node:fs/promises';
import type { Kernels } from 'headlight-vlm';

const wgsl = await readFile(new URL('./entropy.wgsl', import.meta.url), 'utf8');

const kernels: Kernels = {
  attention: {
    name: 'entropy.wgsl',
    wgsl,
    // A number for each head of each query: it comes back as `blocks.{l}.attn.hook_entropy` and `vision.blocks.{l}.…`.
    extras: { entropy: ({ heads }) => [heads] },
    reference: {
      extras: {
        entropy: (_, weights) => [Array.from(weights).reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0)],
      },
    },
  },
};
export default kernels;
