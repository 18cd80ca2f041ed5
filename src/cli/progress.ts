// How far a command is, for people who wait.
import { SingleBar } from 'cli-progress';
import { printableLine } from '../base/printable.ts';

export interface Progress {
  /** `done` of the total that was announced. */
  update(done: number, detail?: string): void;
  stop(): void;
}

/** Time between two lines of a log: a tenth of the work later at the least, or a minute. */
const pause = 10_000;
const longPause = 60_000;

/** A bar on a terminal. */
export function progressBar(label: string, total: number): Progress {
  const bar = new SingleBar({
    stream: process.stderr,
    format: '{label} {bar} {percentage}% {eta_formatted} {detail}',
    hideCursor: true,
    clearOnComplete: true,
  });
  // The bar moves the cursor, so it writes by itself: its texts are made printable here.
  bar.start(total, 0, { label: printableLine(label).padEnd(28), detail: '' });
  return {
    update: (done, detail = '') => bar.update(done, { detail: printableLine(detail) }),
    stop: () => bar.stop(),
  };
}

/**
 * Lines in a log: one when a stage starts, and of a long one how far it is, every ten seconds where a tenth more is done and else
 * every minute.
 * @param now milliseconds; for tests.
 */
export function progressLines(
  write: (line: string) => void,
  label: string,
  total: number,
  now: () => number = () => performance.now(),
): Progress {
  write(`${label} …`);
  const started = now();
  let saidAt = started;
  let said = 0;
  return {
    update(done, detail = '') {
      const waited = now() - saidAt;
      if (waited < pause || (done - said < total / 10 && waited < longPause) || done <= 0 || done >= total) return;
      saidAt = now();
      said = done;
      const left = ((saidAt - started) / done) * (total - done);
      const facts = [`${Math.floor((100 * done) / total)} %`, `${duration(left)} left`, detail].filter(Boolean);
      write(`${label}: ${facts.join(', ')}`);
    },
    stop() {},
  };
}

function duration(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`;
}
