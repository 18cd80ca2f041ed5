import { setTimeout as sleep } from 'node:timers/promises';
import { HubError } from './errors.ts';

export interface TryOptions {
  signal: AbortSignal;
  /** Told about every interruption. */
  note: (text: string) => void;
  /** Before the `n`th try in a row that brought nothing new, n from 1. */
  backoffSeconds?: (n: number) => number;
}

/** Tries in a row that bring nothing new. */
const maxTries = 5;
/** A server that asks for a longer pause is left alone. */
const maxPauseSeconds = 300;

/** Counts tries that failed by chance, and waits between them. */
export class Tries {
  readonly #options: TryOptions;
  #failed = 0;

  constructor(options: TryOptions) {
    this.#options = options;
  }

  /** Something new came: the count starts again. */
  succeeded(): void {
    this.#failed = 0;
  }

  /**
   * Says what went wrong and waits, as long as the server asks, or twice as long as before.
   * @param then what the next try does, for the line that says so.
   * @throws HubError where another try cannot help, or there were enough; the signal's reason when aborted.
   */
  async failed(e: unknown, then = 'again'): Promise<void> {
    const { signal, note, backoffSeconds = (n) => 2 ** (n - 1) } = this.#options;
    signal.throwIfAborted();
    if (!(e instanceof HubError && e.transient)) throw e;
    if (++this.#failed > maxTries)
      throw new HubError(`${e.message}; given up after ${maxTries} tries, run again to continue`, { cause: e });
    const asked = e.retryAfter ?? 0;
    if (asked > maxPauseSeconds)
      throw new HubError(
        `${e.message}; the server asks for a pause of ${asked} s, which is not waited for (at most ${maxPauseSeconds} s): run again then`,
        { cause: e },
      );
    const seconds = Math.max(asked, backoffSeconds(this.#failed));
    note(`${e.message}; ${then} in ${seconds} s (try ${this.#failed} of ${maxTries})`);
    await sleep(seconds * 1000, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Does something until it succeeds, or fails for good. */
export async function withTries<T>(action: () => Promise<T>, options: TryOptions): Promise<T> {
  const tries = new Tries(options);
  for (;;)
    try {
      return await action();
    } catch (e) {
      await tries.failed(e);
    }
}
