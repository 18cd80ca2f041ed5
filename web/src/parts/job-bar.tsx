// What runs now, how far it is, and a way to end it.

import { job } from '../state/engine.ts';
import { bytes } from './format.ts';

export function JobBar() {
  const running = job.value;
  return (
    <footer class="job-bar" data-running={running !== undefined}>
      <p role="status">{running ? running.progress.phase : ''}</p>
      {running && <Amount />}
      {running?.cancel && (
        <button type="button" onClick={running.cancel}>
          Cancel
        </button>
      )}
    </footer>
  );
}

function Amount() {
  const { phase, done, total } = job.value!.progress;
  const label = phase;
  if (total === 0) return <progress aria-label={label} />;
  const text = phase === 'loading weights' ? `${bytes(done)} of ${bytes(total)}` : `${done} of ${total}`;
  return (
    <>
      <progress aria-label={label} value={done} max={total} />
      <span>{text}</span>
    </>
  );
}
