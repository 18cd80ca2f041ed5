// The model's own answer, token by token, and where the head looks when each is chosen.
import { useSignal } from '@preact/signals';
import type { Head } from 'headlight-vlm';
import { useEffect } from 'preact/hooks';
import { percent } from '../parts/format.ts';
import { ask, asked, rowOf } from '../state/engine.ts';
import type { Picture } from '../state/project.ts';
import type { WrittenToken } from '../worker/work.ts';
import { changes, isChanged } from './changes.ts';
import { Overlay } from './overlay.tsx';

export function WritePanel({ picture, head }: { picture: Picture; head: Head }) {
  const tokens = useSignal<readonly WrittenToken[]>([]);
  /** The token whose attention is shown; the last where none is chosen. */
  const chosen = useSignal<number | undefined>(undefined);
  const running = useSignal<AbortController | undefined>(undefined);
  const problem = useSignal<string | undefined>(undefined);
  const question = asked.value;
  const about = `${picture.id} ${head.layer}.${head.head} ${question} ${JSON.stringify(changes.value)}`;
  const stop = () => {
    running.peek()?.abort();
    running.value = undefined;
  };
  useEffect(() => {
    stop();
    [tokens.value, chosen.value, problem.value] = [[], undefined, undefined];
    return stop;
  }, [about]);

  const write = async () => {
    const controller = new AbortController();
    running.value = controller;
    [tokens.value, chosen.value, problem.value] = [[], undefined, undefined];
    const request = { row: rowOf(picture), question, head: { layer: head.layer, head: head.head } };
    const onTold = (token: WrittenToken) => {
      tokens.value = [...tokens.value, token];
    };
    try {
      await ask('write', { ...request, changes: changes.value }, { signal: controller.signal, onTold });
    } catch (error) {
      if (!controller.signal.aborted) problem.value = (error as Error).message;
    } finally {
      if (running.value === controller) running.value = undefined;
    }
  };
  const at = chosen.value ?? tokens.value.length - 1;
  const shown = tokens.value[at];
  return (
    <section aria-labelledby="write" aria-busy={running.value !== undefined}>
      <h2 id="write">Its answer</h2>
      <div class="row">
        {running.value ? (
          <button type="button" onClick={stop}>
            Stop
          </button>
        ) : (
          <button type="button" onClick={() => void write()}>
            Let it answer
          </button>
        )}
        <p class="hint">
          And where head {head.layer}.{head.head} looks when each token is chosen.
          {isChanged.value && ' The changes above hold.'}
        </p>
      </div>
      {problem.value !== undefined && <p role="alert">{problem.value}</p>}
      <ol class="tokens" aria-label="Tokens of the answer">
        {tokens.value.map(({ text }, i) => (
          <li key={i}>
            <button
              type="button"
              aria-pressed={i === at}
              onClick={() => {
                chosen.value = i;
              }}
            >
              {text}
            </button>
          </li>
        ))}
      </ol>
      {shown && (
        <>
          <p>
            At <q>{shown.text}</q> it gives the picture <strong>{percent(shown.share)}</strong> of its attention.
          </p>
          <div class="pictures">
            {shown.grids.map((grid) => (
              <Overlay key={grid.label} picture={picture} grid={grid} />
            ))}
          </div>
        </>
      )}
    </section>
  );
}
