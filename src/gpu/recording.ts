// What a recorder has recorded: commands and the tensors that live with them.
import type { GpuContext } from './context.ts';
import { type Dispatch, storagesOf } from './dispatch.ts';
import type { Use } from './memory-plan.ts';
import type { Profiler } from './profiler.ts';
import type { Readback } from './readback.ts';
import type { Storage, Tensor } from './tensor.ts';

export type Command =
  | { readonly dispatch: Dispatch }
  | { readonly copy: { readonly from: Tensor; readonly to: Tensor } }
  | { readonly readback: Readback };

export interface Recording {
  readonly gpu: GpuContext;
  readonly label: string;
  readonly commands: readonly Command[];
  /** Temporaries that hold data before the first command. */
  readonly inputs: readonly { readonly tensor: Tensor; readonly data: BufferSource }[];
  /** Storages without memory of their own: the run gives them some. */
  readonly temporaries: ReadonlySet<Storage>;
  /** Bytes of all read-backs together. */
  readonly readbackBytes: number;
  readonly profiler?: Profiler;
  /** Bind each storage to its end instead of the tensor's, so that a test sees writes past the end of an output. */
  readonly bindToEnd?: boolean;
}

/** Each use of a temporary, in the order of the commands: what the memory plan is made from. */
export function* usesOf({ inputs, commands, temporaries }: Recording): Generator<Use> {
  for (const { tensor } of inputs) yield { storage: tensor.storage, index: -1 };
  for (const [index, command] of commands.entries())
    for (const { storage } of tensorsOf(command)) if (temporaries.has(storage)) yield { storage, index };
}

function tensorsOf(command: Command): readonly Tensor[] {
  if ('dispatch' in command) return storagesOf(command.dispatch).map((b) => b.tensor);
  return 'copy' in command ? [command.copy.from, command.copy.to] : [command.readback.tensor];
}
