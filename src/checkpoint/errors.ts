import { HeadlightError } from '../base/error.ts';

/** A checkpoint that cannot be read or does not fit the model. Messages name the file and tensor and the way out. */
export class CheckpointError extends HeadlightError {
  override name = 'CheckpointError';
  readonly code = 'checkpoint';
  /** Every problem found, one a line, where several were looked for before giving up; else the message alone. */
  readonly problems: readonly string[];

  constructor(message: string, problems: readonly string[] = [message]) {
    super(message);
    this.problems = problems;
  }

  /** One error for all problems: `what` as the headline, then the problems, the first 50 of them in the message. */
  static ofProblems(what: string, problems: readonly string[]): CheckpointError {
    const shown = problems.slice(0, 50);
    const rest = problems.length - shown.length;
    if (rest > 0) shown.push(`and ${rest} more (all of them in error.problems)`);
    return new CheckpointError([what, ...shown].join('\n  '), problems);
  }
}
