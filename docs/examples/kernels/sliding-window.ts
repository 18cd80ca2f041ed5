// The description of sliding-window.wgsl: `headlight bench --kernel docs/examples/kernels/sliding-window.ts` takes it too.
import { readFile } from 'node:fs/promises';
import { type Kernels, softmax } from 'headlight-vlm';

const wgsl = await readFile(new URL('./sliding-window.wgsl', import.meta.url), 'utf8');

/** A window of `span` positions in the decoder's layers that the globs name; default all. */
export const slidingWindow = (span: number, labels: string | string[] = 'blocks.*'): Kernels => ({
  attention: {
    name: 'sliding-window.wgsl',
    wgsl,
    constants: { span },
    labels,
    masks: ['causal'],
    // What it computes, so that it can be checked: the keys before the window weigh nothing.
    reference: {
      weights: ({ keys, scores, position }) =>
        softmax(
          scores.map((score, n) =>
            keys[n] > Math.min(position, keys.at(-1)!) - span ? score : Number.NEGATIVE_INFINITY,
          ),
        ),
    },
  },
});

export default slidingWindow(8);
