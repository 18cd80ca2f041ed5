// One command of a recording.
import { type Dispatch, storagesOf } from './dispatch.ts';
import type { Readback } from './readback.ts';
import { byteSize, type Tensor } from './tensor.ts';

export type Command =
  | { readonly dispatch: Dispatch }
  | { readonly copy: { readonly from: Tensor; readonly to: Tensor } }
  | { readonly readback: Readback };

/** The tensors that a command uses. */
export function tensorsOf(command: Command): readonly Tensor[] {
  if ('dispatch' in command) return storagesOf(command.dispatch).map((b) => b.tensor);
  return 'copy' in command ? [command.copy.from, command.copy.to] : [command.readback.tensor];
}

/** Names a command in errors. */
export function labelOf(command: Command): string {
  if ('dispatch' in command) return `${command.dispatch.kernel} ${command.dispatch.label}`;
  return 'copy' in command
    ? `copy ${command.copy.from.label} to ${command.copy.to.label}`
    : `read-back of ${command.readback.tensor.label}`;
}

/** Floating-point operations that take a GPU about as long as moving one byte. */
const flopsPerByte = 16;

/** Work of a command, in floating-point operations: what limits it, its arithmetic or its memory. */
export function workOf(command: Command): number {
  if ('dispatch' in command) return Math.max(command.dispatch.cost.flops, flopsPerByte * command.dispatch.cost.bytes);
  const { dtype, shape } = 'copy' in command ? command.copy.from : command.readback.tensor;
  return flopsPerByte * byteSize(dtype, shape);
}
