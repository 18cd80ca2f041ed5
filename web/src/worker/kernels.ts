// Kernels verified and timed, on a GPU of their own: where one is lost to a kernel, the model keeps its GPU.
import { checkKernels, type Gpu, KernelError, type KernelOp, type Kernels, kernelOps, openGpu } from 'headlight-vlm';
import {
  type BenchmarkFile,
  benchmarkFile,
  benchmarkGroups,
  type Comparison,
  compareBenchmarks,
  decodeBenchmarkFile,
  groupName,
  maxBenchmarkBytes,
  runKernelBenchmarks,
} from 'headlight-vlm/verify';
import type { CallContext } from './calls.ts';
import type { CheckedKernel, FileRequest, KernelTable, OwnKernel, TimedKernels, TimeRequest } from './work.ts';

type Context = Required<CallContext>;

const kernelsOf = ({ op, wgsl }: OwnKernel): Kernels => ({ [op]: { name: 'own.wgsl', wgsl } });

export class KernelBench {
  #gpu?: Gpu;

  async #openGpu(): Promise<Gpu> {
    if (!this.#gpu) {
      const gpu = await openGpu();
      this.#gpu = gpu;
      void gpu.lost.then(() => {
        if (this.#gpu === gpu) this.#gpu = undefined;
      });
    }
    return this.#gpu;
  }

  async table(): Promise<KernelTable> {
    const { vendor, architecture, description, software } = (await this.#openGpu()).capabilities;
    return {
      adapter: { vendor, architecture, description, software },
      problems: benchmarkGroups({}).map((group) => ({ op: group.op, name: groupName(group) })),
      ops: kernelOps,
    };
  }

  /** What our kernels of an operation begin with, at the smallest problem that is measured. */
  async header(op: KernelOp): Promise<string> {
    const gpu = await this.#openGpu();
    const [smallest] = benchmarkGroups({})
      .filter((group) => group.op === op)
      .sort((a, b) => a.flops - b.flops);
    const { tensors, candidates } = smallest.prepare(gpu);
    const recorder = gpu.record('header');
    candidates.default(recorder);
    gpu.destroy(...tensors);
    const ours = recorder.recorded.find(({ kernel }) => kernel.split(/[. ]/)[0] === op)!;
    return `// ${groupName(smallest)}\n${(ours.header?.() ?? '').trim()}`;
  }

  async time({ problem, rounds, roofline, own }: TimeRequest, { signal, onProgress }: Context): Promise<TimedKernels> {
    const kernels = own && kernelsOf(own);
    const wrong: string[] = [];
    const result = await runKernelBenchmarks(await this.#openGpu(), {
      groups: benchmarkGroups({ kernels }).filter((group) => groupName(group) === problem),
      ...{ kernels, rounds, roofline, signal },
      onProgress: (phase) => onProgress({ phase, done: 0, total: 0 }),
      onWrong: (_, candidate, error) => wrong.push(`${candidate}: ${error.message}`),
    });
    return { result, wrong };
  }

  async check(own: OwnKernel, { signal, onProgress }: Context): Promise<CheckedKernel> {
    try {
      const result = await checkKernels(await this.#openGpu(), kernelsOf(own), {
        signal,
        onProgress: (phase) => onProgress({ phase, done: 0, total: 0 }),
      });
      return { result };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return { refused: { message: error.message, places: error.places } };
    }
  }

  async file({ result, check }: FileRequest): Promise<BenchmarkFile> {
    return benchmarkFile(result, check);
  }

  async read(file: File): Promise<BenchmarkFile> {
    if (file.size > maxBenchmarkBytes)
      throw new Error(`${file.name}: ${file.size} bytes are too many for a result: at most ${maxBenchmarkBytes}`);
    return decodeBenchmarkFile(new Uint8Array(await file.arrayBuffer()), file.name);
  }

  async compare([a, b]: readonly [BenchmarkFile, BenchmarkFile]): Promise<Comparison> {
    return compareBenchmarks(a, b);
  }
}
