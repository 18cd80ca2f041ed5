// What HEADLIGHT_DEBUG=2 prints. (1 tells which dispatch WebGPU refuses: submit.ts.)
import { labelOf } from './command.ts';
import { storagesOf } from './dispatch.ts';
import type { Recording } from './recording.ts';

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
