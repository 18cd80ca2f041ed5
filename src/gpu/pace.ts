// How much work one submission may hold. A driver resets a GPU that works on one for too long (Windows after two seconds), and while
// it works the screen may stand still and Ctrl-C has to wait.
import { type Command, workOf } from './command.ts';

/** Floating-point operations a millisecond of a GPU that nothing is known of yet: 10 GFLOP/s, slower than any. */
const slowest = 1e7;

/** How many times the work of the last submission the next may hold. */
const growth = 4;

/** Learns from the times of a device's submissions how much work takes it `targetMs`. */
export class Pace {
  /** Milliseconds that a submission should take. */
  readonly targetMs: number;
  readonly #now: () => number;
  readonly #least: number;
  #work: number;
  /** When each submission that is timed began, in the order of the queue. */
  readonly #running = new Set<{ readonly since: number }>();
  #lastDone = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds; for tests. */
  constructor(targetMs: number, now: () => number = () => performance.now()) {
    this.targetMs = targetMs;
    this.#least = slowest * targetMs;
    this.#work = this.#least;
    this.#now = now;
  }

  /** Work that the next submission may hold. */
  get work(): number {
    return this.#work;
  }

  /** How long the GPU has worked on the submission that it has now; 0 where none is timed. */
  get busyMs(): number {
    const [first] = this.#running;
    return first ? this.#now() - Math.max(first.since, this.#lastDone) : 0;
  }

  /** The submission that begins with the command at `start`: where it ends, behind one command at the least, and its work. */
  next(commands: readonly Command[], start: number): { readonly end: number; readonly work: number } {
    let work = workOf(commands[start]);
    let end = start + 1;
    for (; end < commands.length; end++) {
      const more = work + workOf(commands[end]);
      if (more > this.#work) break;
      work = more;
    }
    return { end, work };
  }

  /** Times the submission that was made just now, and learns from it. @returns `done`. */
  time(work: number, done: Promise<void>): Promise<void> {
    const submission = { since: this.#now() };
    this.#running.add(submission);
    const timed = done.then(
      () => {
        this.#learn(work, this.#now() - Math.max(submission.since, this.#lastDone));
        this.#end(submission);
      },
      (error) => {
        this.#end(submission);
        throw error;
      },
    );
    timed.catch(() => {}); // thrown where it is waited for
    return timed;
  }

  #end(submission: { readonly since: number }): void {
    this.#running.delete(submission);
    this.#lastDone = this.#now();
  }

  /** A submission of little work teaches nothing where it was quick: its time is latency. */
  #learn(work: number, ms: number): void {
    const fitting = (work * this.targetMs) / ms;
    // Less than the least would come from latency, or from a machine that was busy with something else.
    if (ms > this.targetMs) this.#work = Math.max(fitting, this.#least);
    else if (work >= this.#work / 2) this.#work = Math.min(fitting, growth * Math.max(work, this.#work));
  }
}
