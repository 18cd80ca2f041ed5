import type { Context } from './context.ts';
import type { Progress } from './progress.ts';

/** Milliseconds after which a run is long: shorter ones show no progress. */
const patience = 2000;

/** Progress of one run, which is long on some machines only. Give `update` to the model as `onProgress`. */
export class RunProgress {
  readonly #context: Context;
  readonly #label: string;
  readonly #started = performance.now();
  #progress: Progress | undefined;
  #stopped = false;

  constructor(context: Context, label: string) {
    this.#context = context;
    this.#label = label;
  }

  readonly update = (done: number, total: number): void => {
    if (this.#stopped || performance.now() - this.#started < patience) return;
    this.#progress ??= this.#context.progress(this.#label, total);
    this.#progress.update(done);
  };

  /** Takes the bar away; later updates show nothing. */
  stop(): void {
    this.#stopped = true;
    this.#progress?.stop();
  }
}
