// Live controls ask faster than a model answers: of the questions that wait, only the last is asked.
import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

/** An answer, and whether a newer one is on its way. */
export interface Latest<T> {
  readonly value?: T;
  readonly problem?: string;
  readonly waiting: boolean;
}

/**
 * Asks anew whenever `key` changes; while an answer is on its way, questions wait, and only the last of them is asked then.
 * @param ask undefined: there is nothing to ask.
 */
export function useLatest<T>(key: string, ask: (() => Promise<T>) | undefined): Signal<Latest<T>> {
  const found = useSignal<Latest<T>>({ waiting: false });
  const state = useRef<{ running: boolean; wanted?: () => Promise<T> }>({ running: false });
  useEffect(() => {
    if (!ask) return;
    const { current } = state;
    current.wanted = ask;
    found.value = { ...found.value, waiting: true };
    if (current.running) return;
    current.running = true;
    const run = async () => {
      while (current.wanted) {
        const wanted = current.wanted;
        current.wanted = undefined;
        const answer = await wanted().then(
          (value) => ({ value }),
          (error: Error) => ({ problem: error.message }),
        );
        found.value = { ...answer, waiting: current.wanted !== undefined };
      }
      current.running = false;
    };
    void run();
  }, [key]);
  return found;
}
