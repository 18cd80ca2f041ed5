// What every run of a model has in common: edits, custom kernels, a limit, signals. `Model.with` binds a model to them.
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { Profiler } from '../../gpu/profiler.ts';
import type { Replacement } from '../../gpu/recorder.ts';
import { type Kernels, kernelsText, replacementOf } from '../../kernels/custom/kernels.ts';
import { InputError } from '../errors.ts';
import { type Edit, EditPlan } from '../interventions/edits.ts';
import { withExtras } from '../interventions/extra-hooks.ts';
import type { HookPoint } from '../interventions/hook-points.ts';
import { boundOptions, checkOptions } from '../options.ts';

/** What a model can be bound to (`Model.with`). */
export interface BoundOptions {
  /** Changes of activations, in this order, after those that the model is bound to already. */
  readonly edits?: readonly Edit[];
  /** Custom kernels by operation (docs/kernels.md). They replace those of the same operation that the model is bound to. */
  readonly kernels?: Kernels;
  /** Refuse a run whose results take more bytes than this; 1 GiB by default. */
  readonly maxResultBytes?: number;
  /** Ends a run, with the signal's reason, before its next submission; a long run takes several. Signals that the model is bound to stay. */
  readonly signal?: AbortSignal;
  /** Of a run that takes several submissions: told after each but the last how much work is done, and how much there is. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Times every dispatch, of one run after another: runs that overlap must not share one. */
  readonly profiler?: Profiler;
}

/** What the runs of a model are bound to. */
export interface Bound {
  readonly edits: readonly Edit[];
  readonly plan: EditPlan;
  readonly kernels: Kernels;
  /** The custom kernels as a recorder takes them. */
  readonly replacement: Replacement | undefined;
  /** A run whose results take more is refused. */
  readonly maxResultBytes: number;
  /** Any of them ends a run. */
  readonly signals: readonly AbortSignal[];
  readonly onProgress: BoundOptions['onProgress'];
  readonly profiler: Profiler | undefined;
  /** The model's hook points, and those that custom kernels add. */
  readonly hookPoints: readonly HookPoint[];
}

/** @param points of the model as it is. */
export const unbound = (points: readonly HookPoint[]): Bound => ({
  edits: [],
  plan: new EditPlan(points, []),
  kernels: {},
  replacement: undefined,
  maxResultBytes: 2 ** 30,
  signals: [],
  onProgress: undefined,
  profiler: undefined,
  hookPoints: points,
});

/**
 * @param points of the model as it is.
 * @throws InputError for options that there are not, for edits that say nothing or too much or name no hook point, and for extras
 *   of kernels that have the name of a hook point; KernelError for operations or fields of kernels that there are not.
 */
export function bind(points: readonly HookPoint[], bound: Bound, options: BoundOptions): Bound {
  checkOptions(options, boundOptions, 'with');
  const { maxResultBytes = bound.maxResultBytes, signal } = options;
  if (!(maxResultBytes >= 0)) throw new InputError(`maxResultBytes ${maxResultBytes}: give a number of bytes`);
  if (!Array.isArray(options.edits ?? [])) throw new InputError('edits are a list, [{ at, … }]');
  const edits = [...bound.edits, ...(options.edits ?? [])];
  const kernels = { ...bound.kernels, ...options.kernels };
  return {
    edits,
    plan: options.edits ? new EditPlan(points, edits) : bound.plan,
    kernels,
    replacement: options.kernels ? replacementOf(kernels) : bound.replacement,
    maxResultBytes,
    signals: signal ? [...bound.signals, signal] : bound.signals,
    onProgress: options.onProgress ?? bound.onProgress,
    profiler: options.profiler ?? bound.profiler,
    hookPoints: options.kernels ? withExtras(points, kernels) : bound.hookPoints,
  };
}

/** @throws the reason of the first signal that is aborted. */
export function throwIfAborted({ signals }: Bound): void {
  for (const signal of signals) signal.throwIfAborted();
}

/**
 * What features and classifiers of a bound model are tied to: the model's own id, or with edits or kernels another one, made of
 * them too. Of functions it sees the source, not what they close over.
 * @param id 64 hexadecimal digits, as the result.
 */
export function boundId(id: string, { edits, kernels }: Bound): string {
  if (!edits.length && !Object.keys(kernels).length) return id;
  const text = JSON.stringify(edits, (_, value) => (value instanceof Float32Array ? [hash(bytesOf(value))] : value));
  return hash(utf8ToBytes([id, text, kernelsText(kernels)].join('\n')));
}

const hash = (bytes: Uint8Array): string => bytesToHex(sha256(bytes));
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
