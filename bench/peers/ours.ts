import type { Gpu } from '../../src/gpu/gpu.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import type { Candidate } from './candidate.ts';
import { problemOf, type Row, weightFormats } from './rows.ts';

/** Headlight with its defaults; a matmul in each format of its weight. */
export function ours(gpu: Gpu, row: Row): Candidate[] {
  if (row.op !== 'matmul') return [candidate(gpu, row, 'ours')];
  return weightFormats.map((format) => candidate(gpu, row, `ours ${format.name}`, format));
}

function candidate(gpu: Gpu, row: Row, name: string, format?: (typeof weightFormats)[number]): Candidate {
  const problem = problemOf(row, format);
  const tensors: Tensor[] = [];
  const keep = (...tensor: Parameters<Gpu['tensor']>) => {
    tensors.push(gpu.tensor(...tensor));
    return tensors[tensors.length - 1];
  };
  const call = problem.prepare(keep);
  const out = keep('out', 'f32', problem.shape);
  return {
    name,
    problem,
    queue: gpu.device.queue,
    async run() {
      const rec = gpu.record(name);
      call(rec, { out });
      await rec.submit();
    },
    async read() {
      const rec = gpu.record('read');
      const result = rec.read(out);
      await rec.submit();
      return result.f32;
    },
    free: () => gpu.destroy(...tensors),
  };
}
