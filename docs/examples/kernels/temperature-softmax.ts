// The description of temperature-softmax.wgsl: `headlight bench --kernel docs/examples/kernels/temperature-softmax.ts` takes it too.
import { readFile } from 'node:fs/promises';
import { type Kernels, softmax } from 'headlight-vlm';

const wgsl = await readFile(new URL('./temperature-softmax.wgsl', import.meta.url), 'utf8');

/** @param temperature of a head, by its number */
export const temperatureSoftmax = (temperature: (head: number) => number, labels = 'blocks.*'): Kernels => ({
  attention: {
    name: 'temperature-softmax.wgsl',
    wgsl,
    labels,
    inputs: ({ sizes }) => ({
      temperature: Float32Array.from({ length: Number(sizes!.heads) }, (_, head) => temperature(head)),
    }),
    reference: {
      weights: ({ head, scores }) => softmax(scores.map((score) => score / Math.fround(temperature(head)))),
    },
  },
});

export default temperatureSoftmax((head) => 0.5 + 0.25 * head);
