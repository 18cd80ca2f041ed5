// A recording's commands as WebGPU takes them.
import { type Dispatch, storagesOf } from './dispatch.ts';
import { KernelError } from './errors.ts';
import { type Pipeline, paramsBytes } from './pipeline-cache.ts';
import type { Recording } from './recording.ts';
import { byteSize, type Tensor } from './tensor.ts';

/** What the commands are encoded with. */
export interface Encoding {
  readonly recording: Recording;
  /** By command; none of a copy or a read-back. */
  readonly pipelines: readonly (Pipeline | undefined)[];
  /** By command, as soon as they are known. */
  readonly groups: (GPUBindGroup | undefined)[];
  /** The params of all dispatches, a window each, in their order. */
  readonly params?: GPUBuffer;
}

/**
 * The params of all dispatches, one after the other: one upload. Each sees its own window through a dynamic offset.
 * @param later so many steps of a generation later. @returns nothing where one would then be another dispatch.
 */
export function paramsOf({ commands }: Recording, later = 0): Uint32Array<ArrayBuffer> | undefined {
  let count = 0;
  for (const command of commands) if ('dispatch' in command && command.dispatch.params) count++;
  const words = new Uint32Array((count * paramsBytes) / 4);
  let at = 0;
  for (const command of commands) {
    if (!('dispatch' in command && command.dispatch.params)) continue;
    const { params, later: moved } = command.dispatch;
    const own = later && moved ? moved(later) : params;
    if (!own) return undefined;
    words.set(own, at);
    at += paramsBytes / 4;
  }
  return words;
}

/**
 * Encodes the commands from `start` to before `end`.
 * @param withParams how many dispatches with params stand before them.
 * @param staging where read-backs are copied to.
 * @returns how many stand before `end`.
 */
export function encodeCommands(
  encoder: GPUCommandEncoder,
  { recording, pipelines, groups, params }: Encoding,
  [start, end]: readonly [start: number, end: number],
  withParams: number,
  staging: GPUBuffer | undefined,
): number {
  const { gpu, label, commands, profiler, bindToEnd } = recording;
  const groupOf = (dispatch: Dispatch, pipeline: Pipeline, own: GPUBuffer | undefined) => {
    const storages = storagesOf(dispatch).map(({ tensor: t }) => ({
      buffer: bufferOf(t),
      offset: t.offset,
      size: bindToEnd ? bufferOf(t).size - t.offset : Math.max(4, byteSize(t.dtype, t.shape)),
    }));
    return gpu.bindGroups.get(pipeline, `${dispatch.kernel} ${dispatch.label}`, storages, own);
  };
  let before = withParams;
  let pass: GPUComputePassEncoder | undefined;
  const endPass = () => {
    pass?.end();
    pass = undefined;
  };
  for (let i = start; i < end; i++) {
    const command = commands[i];
    if ('dispatch' in command) {
      const { dispatch } = command;
      const pipeline = pipelines[i]!;
      const timestampWrites = profiler?.next(dispatch);
      if (timestampWrites) endPass();
      pass ??= encoder.beginComputePass({ label: timestampWrites ? dispatch.label : label, timestampWrites });
      pass.setPipeline(pipeline.pipeline);
      const own = dispatch.params && params;
      const group = groups[i] ?? groupOf(dispatch, pipeline, own);
      groups[i] = group;
      if (own) pass.setBindGroup(0, group, [before++ * paramsBytes]);
      else pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(dispatch.workgroups[0], dispatch.workgroups[1], dispatch.workgroups[2]);
      if (timestampWrites) endPass();
    } else {
      endPass();
      const from = 'copy' in command ? command.copy.from : command.readback.tensor;
      const [to, toOffset] =
        'copy' in command ? [bufferOf(command.copy.to), command.copy.to.offset] : [staging!, command.readback.offset];
      encoder.copyBufferToBuffer(bufferOf(from), from.offset, to, toOffset, byteSize(from.dtype, from.shape));
    }
  }
  endPass();
  return before;
}

function bufferOf(tensor: Tensor): GPUBuffer {
  const { buffer } = tensor.storage;
  if (!buffer) throw new KernelError(tensor.label, 'has no memory: it was destroyed, or belongs to another run');
  return buffer;
}
