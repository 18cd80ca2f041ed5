// How the page asks its worker for work: calls that report progress and can be ended.

/** Work by name: what it takes, what it gives, and what it tells before. */
export type Calls = Record<string, { takes: unknown; gives: unknown; tells?: unknown }>;

/** How far a piece of work is. */
export interface Progress {
  /** What is being done, for people: `training pictures`. */
  readonly phase: string;
  readonly done: number;
  /** 0 where it is not known. */
  readonly total: number;
}

/** What a call is given beside its arguments. */
export interface CallContext {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** What a call tells before it ends. */
export type Told<C extends Calls, N extends keyof C> = C[N] extends { tells: infer T } ? T : never;

/** A call that also listens to what is told before it ends. */
export interface Listening<T> extends CallContext {
  readonly onTold?: (told: T) => void;
}

/** Something that the worker says unasked. */
export type Said = { readonly lost: string } | { readonly note: string };

type ToWorker =
  | { readonly id: number; readonly name: string; readonly takes: unknown }
  | { readonly id: number; readonly abort: true };

type ToPage =
  | { readonly id: number; readonly progress: Progress }
  | { readonly id: number; readonly told: unknown }
  | { readonly id: number; readonly gives: unknown }
  | { readonly id: number; readonly failed: { readonly name: string; readonly message: string } }
  | { readonly said: Said };

/** An error of the worker, under its own name: `ImageError`, `DeviceLostError`. */
class WorkerError extends Error {
  constructor({ name, message }: { readonly name: string; readonly message: string }) {
    super(message);
    this.name = name;
  }
}

interface Pending extends Listening<unknown> {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The page's side. */
export class Caller<C extends Calls> {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 0;

  /** @param onSaid told of what the worker says unasked. */
  constructor(worker: Worker, onSaid: (said: Said) => void) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<ToPage>) => {
      if ('said' in data) onSaid(data.said);
      else this.#hear(data);
    });
    worker.addEventListener('error', ({ message }) => {
      for (const { reject } of this.#pending.values()) reject(new WorkerError({ name: 'WorkerError', message }));
      this.#pending.clear();
    });
  }

  /**
   * Has a piece of work done. @throws WorkerError with what the worker threw; the signal's reason at once when it aborts, while
   * the worker ends what it is at.
   */
  call<N extends keyof C & string>(
    name: N,
    takes: C[N]['takes'],
    context: Listening<Told<C, N>> = {},
  ): Promise<C[N]['gives']> {
    const { signal, onProgress, onTold } = context;
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = () => {
        this.#send({ id, abort: true });
        this.#pending.delete(id);
        reject(signal!.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
      const settled = <T>(settle: (value: T) => void) => {
        return (value: T) => {
          signal?.removeEventListener('abort', abort);
          settle(value);
        };
      };
      this.#pending.set(id, {
        resolve: settled(resolve as (value: unknown) => void),
        reject: settled(reject),
        onProgress,
        onTold: onTold as Pending['onTold'],
      });
      this.#send({ id, name, takes });
    });
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #hear(message: Exclude<ToPage, { said: Said }>): void {
    const call = this.#pending.get(message.id);
    if (!call) return; // aborted
    if ('progress' in message) {
      call.onProgress?.(message.progress);
      return;
    }
    if ('told' in message) {
      call.onTold?.(message.told);
      return;
    }
    this.#pending.delete(message.id);
    if ('failed' in message) call.reject(new WorkerError(message.failed));
    else call.resolve(message.gives);
  }
}

/** Work by name, as the worker does it. */
export type Work<C extends Calls> = {
  [N in keyof C]: (takes: C[N]['takes'], context: Required<Listening<Told<C, N>>>) => Promise<C[N]['gives']>;
};

/**
 * The worker's side: one call after the other, in the order in which they came.
 * @returns says something unasked.
 */
export function answerCalls<C extends Calls>(scope: Worker | Window, work: Work<C>): (said: Said) => void {
  const running = new Map<number, AbortController>();
  let turn: Promise<void> = Promise.resolve();
  const send = (message: ToPage) => (scope as Worker).postMessage(message);
  const run = async (id: number, name: keyof C, takes: unknown, signal: AbortSignal) => {
    try {
      signal.throwIfAborted();
      const gives = await work[name](takes, {
        signal,
        onProgress: (progress) => send({ id, progress }),
        onTold: (told) => send({ id, told }),
      });
      send({ id, gives });
    } catch (error) {
      const { name, message } = error as Error;
      send({ id, failed: { name, message } });
    } finally {
      running.delete(id);
    }
  };
  scope.addEventListener('message', (event) => {
    const message = (event as MessageEvent<ToWorker>).data;
    if ('abort' in message) return running.get(message.id)?.abort();
    const { id, name, takes } = message;
    const controller = new AbortController();
    running.set(id, controller);
    turn = turn.then(() => run(id, name, takes, controller.signal));
  });
  return (said) => send({ said });
}
