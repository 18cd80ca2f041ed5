// One submission of a model. Every run of every model is recorded through it, so that what the model is bound to holds everywhere.
import type { Gpu } from '../../gpu/gpu.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { elementCount } from '../../gpu/tensor.ts';
import { InputError } from '../errors.ts';
import { hookKind } from '../interventions/hook-points.ts';
import { type HookRequest, Hooks } from '../interventions/hooks.ts';
import { Activation, ActivationCache } from './activations.ts';
import { type Bound, throwIfAborted } from './bound.ts';

/** What a pass needs of a model. */
export interface Runner {
  readonly gpu: Gpu;
  readonly bound: Bound;
}

export class Pass {
  readonly rec: Recorder;
  readonly #bound: Bound;
  readonly #keep: HookRequest['keep'];
  readonly #hooks: Hooks[] = [];

  /** @throws the reason of a signal that is aborted. */
  constructor({ gpu, bound }: Runner, label: string, { keep }: Pick<HookRequest, 'keep'> = {}) {
    throwIfAborted(bound);
    const { profiler, replacement, signals, onProgress } = bound;
    this.rec = gpu.record(label, { profiler, replacement, signals, onProgress });
    this.#bound = bound;
    this.#keep = keep;
  }

  /** Hooks with the edits that the model is bound to, where no others are given. */
  hooks(request: Omit<HookRequest, 'edits' | 'keep'> & Partial<Pick<HookRequest, 'edits'>>): Hooks {
    const hooks = new Hooks(this.rec, { edits: this.#bound.plan, keep: this.#keep, ...request });
    this.#hooks.push(hooks);
    return hooks;
  }

  /**
   * @param less what makes the results smaller, beside fewer names.
   * @throws InputError where they exceed `maxResultBytes`.
   */
  checkResultBytes(less = 'give posSlice'): void {
    const { resultBytes } = this.rec;
    const { maxResultBytes } = this.#bound;
    if (resultBytes > maxResultBytes)
      throw new InputError(
        `the activations asked for take ${resultBytes} bytes, more than ${maxResultBytes} (${this.#largestKinds()}): ask for fewer names, ${less}, or raise maxResultBytes`,
      );
  }

  /** What takes most: `blocks.*.attn.hook_pattern 1200 MB, …`. */
  #largestKinds(): string {
    const bytes = new Map<string, number>();
    for (const { results } of this.#hooks)
      for (const [name, { shape }] of results) {
        const kind = hookKind(name);
        bytes.set(kind, (bytes.get(kind) ?? 0) + 4 * elementCount(shape));
      }
    const largest = [...bytes].sort(([, a], [, b]) => b - a).slice(0, 3);
    return largest.map(([kind, size]) => `${kind} ${Number((size / 1e6).toPrecision(3))} MB`).join(', ');
  }

  /** Runs it. @returns what the hooks were asked for, unless it was kept on the GPU. */
  async submit(): Promise<ActivationCache> {
    return (await this.start()).found;
  }

  /** Starts it. @returns when the GPU's queue has it, and then what `submit` gives. */
  async start(): Promise<{ found: Promise<ActivationCache> }> {
    const { finished } = await this.rec.start();
    const found = finished.then(() => this.#found());
    found.catch(() => {}); // thrown where it is waited for
    return { found };
  }

  #found(): ActivationCache {
    const found = new ActivationCache();
    for (const { results } of this.#hooks)
      for (const [name, result] of results)
        if ('readback' in result) found.set(name, new Activation(result.readback.f32, result.shape));
    return found;
  }
}
