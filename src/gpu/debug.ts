// HEADLIGHT_DEBUG: 1 tells which dispatch WebGPU refuses, 2 also prints what runs.
import { waitForGpu } from '#platform';
import { storagesOf } from './dispatch.ts';
import { type Encoding, encodeCommands } from './encode.ts';
import { KernelError } from './errors.ts';
import type { Command, Recording } from './recording.ts';

/**
 * Submits each command by itself, within error scopes of its own: slow, and what WebGPU refuses is told with the label of
 * its dispatch.
 */
export async function submitOneByOne(encoding: Encoding): Promise<void> {
  const { recording } = encoding;
  const { device } = recording.gpu;
  const errors: { readonly title: string; readonly scopes: readonly Promise<GPUError | null>[] }[] = [];
  let withParams = 0;
  for (const [i, command] of recording.commands.entries()) {
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    try {
      const encoder = device.createCommandEncoder({ label: labelOf(command) });
      withParams = encodeCommands(encoder, encoding, [i, i + 1], withParams);
      if (i === recording.commands.length - 1) recording.profiler?.resolve(encoder);
      device.queue.submit([encoder.finish()]);
    } finally {
      errors.push({ title: labelOf(command), scopes: [device.popErrorScope(), device.popErrorScope()] });
    }
  }
  for (const { title, scopes } of errors)
    for (const error of await waitForGpu(Promise.all(scopes))) if (error) throw new KernelError(title, error.message);
}

/** Prints each dispatch with its bindings, and each WGSL source where it first runs. */
export function debugPrint({ label, commands }: Recording): void {
  const seen = new Set<string>();
  console.error(`[headlight] ${label}: ${commands.length} commands`);
  for (const command of commands) {
    console.error(`[headlight] ${labelOf(command)}`);
    if (!('dispatch' in command)) continue;
    const { dispatch } = command;
    for (const { tensor, access } of storagesOf(dispatch))
      console.error(`[headlight]   ${access} ${tensor.label} ${tensor.dtype} [${tensor.shape}] at ${tensor.offset}`);
    console.error(`[headlight]   workgroups [${dispatch.workgroups}], params [${dispatch.params ?? ''}]`);
    if (!seen.has(dispatch.code)) console.error(dispatch.code);
    seen.add(dispatch.code);
  }
}

function labelOf(command: Command): string {
  if ('dispatch' in command) return `${command.dispatch.kernel} ${command.dispatch.label}`;
  return 'copy' in command
    ? `copy ${command.copy.from.label} to ${command.copy.to.label}`
    : `read-back of ${command.readback.tensor.label}`;
}
