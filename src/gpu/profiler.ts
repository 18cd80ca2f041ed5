import type { GpuContext } from './context.ts';

/** The time of one dispatch on the GPU, and its work. */
export interface ProfileRow {
  /** The kernel and its variant, for example `matmul.tile f16`. */
  readonly kernel: string;
  /** What it is used for, for example `blocks.0.attn.q_proj`. */
  readonly label: string;
  /** GPU time in nanoseconds, from timestamps around the dispatch. */
  readonly nanoseconds: number;
  /** Work by the kernel’s cost model. */
  readonly flops: number;
  readonly bytes: number;
}

/** What the profiler wants to know of a dispatch. */
export interface TimedWork {
  readonly kernel: string;
  readonly label: string;
  readonly cost: { readonly flops: number; readonly bytes: number };
}

/** WebGPU's limit for one query set. */
const queriesPerSet = 4096;

/**
 * Times each dispatch of the recorders it is given to (`gpu.record(label, { profiler })`), by a pass and two timestamps of
 * its own. Where the device has no timestamps it records nothing and costs nothing; `available` says so.
 */
export class Profiler {
  /** Whether the device has timestamps. */
  readonly available: boolean;
  /** A row for each dispatch so far, in the order of the runs. */
  readonly rows: ProfileRow[] = [];
  readonly #gpu: GpuContext;
  #pending: TimedWork[] = [];
  #sets: GPUQuerySet[] = [];
  #results: GPUBuffer[] = [];

  constructor(gpu: GpuContext) {
    this.#gpu = gpu;
    this.available = gpu.capabilities.timestamps;
  }

  /** The timestamp writes for the next dispatch's pass. */
  next(dispatch: TimedWork): GPUComputePassTimestampWrites | undefined {
    if (!this.available) return undefined;
    const query = (this.#pending.length * 2) % queriesPerSet;
    if (query === 0) this.#sets.push(this.#gpu.device.createQuerySet({ type: 'timestamp', count: queriesPerSet }));
    this.#pending.push(dispatch);
    return { querySet: this.#sets.at(-1)!, beginningOfPassWriteIndex: query, endOfPassWriteIndex: query + 1 };
  }

  /** Encodes the move of the timestamps to host-visible buffers; the recorder calls it at the end of a run. */
  resolve(encoder: GPUCommandEncoder): void {
    const { device } = this.#gpu;
    for (const [i, set] of this.#sets.entries()) {
      const count = Math.min(queriesPerSet, this.#pending.length * 2 - i * queriesPerSet);
      const resolved = device.createBuffer({
        size: count * 8,
        usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      });
      const host = device.createBuffer({ size: count * 8, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      encoder.resolveQuerySet(set, 0, count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, host, 0, count * 8);
      this.#results.push(host);
    }
  }

  /** Reads the timestamps of the run that was just submitted and adds them to `rows`. */
  async collect(): Promise<void> {
    const times: bigint[] = [];
    for (const buffer of this.#results) {
      await this.#gpu.wait(buffer.mapAsync(GPUMapMode.READ));
      for (const time of new BigUint64Array(buffer.getMappedRange())) times.push(time);
      buffer.destroy();
    }
    for (const [i, { kernel, label, cost }] of this.#pending.entries())
      if (times.length)
        this.rows.push({ kernel, label, nanoseconds: Number(times[2 * i + 1] - times[2 * i]), ...cost });
    for (const set of this.#sets) set.destroy();
    this.#pending = [];
    this.#sets = [];
    this.#results = [];
  }

  /** Rows summed by kernel, the slowest first. */
  byKernel(): (Omit<ProfileRow, 'label'> & { count: number })[] {
    const sums = new Map<
      string,
      { kernel: string; nanoseconds: number; flops: number; bytes: number; count: number }
    >();
    for (const row of this.rows) {
      const sum = sums.get(row.kernel) ?? { kernel: row.kernel, nanoseconds: 0, flops: 0, bytes: 0, count: 0 };
      sum.nanoseconds += row.nanoseconds;
      sum.flops += row.flops;
      sum.bytes += row.bytes;
      sum.count++;
      sums.set(row.kernel, sum);
    }
    return [...sums.values()].sort((a, b) => b.nanoseconds - a.nanoseconds);
  }
}
