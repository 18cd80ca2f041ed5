import { SingleBar } from 'cli-progress';
import { printableLine } from '../text/printable.ts';
import { err, out } from './output.ts';

/** What is wrong is the command line, not the run: exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export interface Progress {
  /** `done` of the total that was announced. */
  update(done: number, detail?: string): void;
  stop(): void;
}

/** How a command talks to whoever runs it: results on stdout, everything else on stderr. */
export class Context {
  readonly json: boolean;
  /** Aborted by Ctrl-C: the command cleans up and ends with exit code 130. */
  readonly signal: AbortSignal;

  constructor(json: boolean, signal: AbortSignal) {
    this.json = json;
    this.signal = signal;
  }

  /** A line for people; silent with --json. */
  print(text: string): void {
    if (!this.json) out.write(`${text}\n`);
  }

  /** A part of a line for people, as it comes; silent with --json. */
  printPart(text: string): void {
    if (!this.json) out.write(text);
  }

  /** The result for machines; silent without --json. */
  result(value: unknown): void {
    if (this.json) out.write(`${JSON.stringify(value, undefined, 2)}\n`);
  }

  /** One result of many, a line of JSON: said with and without --json. */
  jsonLine(value: unknown): void {
    out.write(`${JSON.stringify(value)}\n`);
  }

  /** A line worth knowing that is no result: what adapter runs this, what was skipped and why. */
  note(text: string): void {
    err.write(`${printableLine(text)}\n`);
  }

  /** A bar on a terminal; elsewhere a line when a stage starts, so that logs of long runs are not mute. */
  progress(label: string, total: number): Progress {
    if (!process.stderr.isTTY) {
      this.note(`${label} …`);
      return { update() {}, stop() {} };
    }
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
}
