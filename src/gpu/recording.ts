// What a recorder has recorded: commands and the tensors that live with them.
import { type Command, tensorsOf } from './command.ts';
import type { GpuContext } from './context.ts';
import type { Use } from './memory-plan.ts';
import type { Profiler } from './profiler.ts';
import type { Storage, Tensor } from './tensor.ts';

/** Commands in the order in which they run, and what they run on. */
export interface Recording {
  readonly gpu: GpuContext;
  readonly label: string;
  readonly commands: readonly Command[];
  readonly inputs: readonly Input[];
  /** Storages without memory of their own: the run gives them some. */
  readonly temporaries: ReadonlySet<Storage>;
  /** Bytes of all read-backs together. */
  readonly readbackBytes: number;
  readonly profiler?: Profiler;
  /** Bind each storage to its end instead of the tensor's, so that a test sees writes past the end of an output. */
  readonly bindToEnd?: boolean;
}

/** A temporary that holds data before the first command. */
export interface Input {
  readonly tensor: Tensor;
  readonly data: BufferSource;
  /** What it holds so many steps of a generation later. Without it, the same. */
  readonly later?: (steps: number) => BufferSource;
}

/** Each use of a temporary, in the order of the commands: what the memory plan is made from. */
export function* usesOf({ inputs, commands, temporaries }: Recording): Generator<Use> {
  for (const { tensor } of inputs) yield { storage: tensor.storage, index: -1 };
  for (const [index, command] of commands.entries())
    for (const { storage } of tensorsOf(command)) if (temporaries.has(storage)) yield { storage, index };
}
