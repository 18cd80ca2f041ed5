import { HeadlightError } from '../base/error.ts';
import { printableLine } from '../base/printable.ts';
import { type Gpu, type GpuOptions, openGpu } from '../gpu/gpu.ts';
import { err, out } from './output.ts';
import { type Progress, progressBar, progressLines } from './progress.ts';

/** What is wrong is the command line, not the run: exit code 2. */
export class UsageError extends HeadlightError {
  override name = 'UsageError';
  readonly code = 'usage';
}

/** What a program that runs commands within itself may bring. */
export interface Host {
  /** The GPU that a command uses. Default: one of its own. */
  openGpu?: OpenGpu;
}

type OpenGpu = (options?: Pick<GpuOptions, 'arithmetic' | 'tuning'>) => Promise<Gpu>;

/** How a command talks to whoever runs it: results on stdout, everything else on stderr. */
export class Context {
  readonly json: boolean;
  /** Aborted by Ctrl-C: the command cleans up and ends with exit code 130. */
  readonly signal: AbortSignal;
  readonly openGpu: OpenGpu;

  constructor(json: boolean, signal: AbortSignal, host: Host = {}) {
    this.json = json;
    this.signal = signal;
    this.openGpu = host.openGpu ?? openGpu;
  }

  /** A line for people; silent with --json. */
  print(text: string): void {
    if (!this.json) out.write(`${text}\n`);
  }

  /** A file that now is there, for people; silent with --json. */
  printWritten(file: string): void {
    this.print(`written: ${printableLine(file)}`);
  }

  /** Names and values in two columns, for people; silent with --json. */
  printFacts(facts: Iterable<readonly [name: string, value: string]>, width = 24): void {
    for (const [name, value] of facts) this.print(`${name.padEnd(width)}${printableLine(value)}`);
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

  /** A bar on a terminal; elsewhere lines, so that logs of long runs are not mute. */
  progress(label: string, total: number): Progress {
    return process.stderr.isTTY ? progressBar(label, total) : progressLines((line) => this.note(line), label, total);
  }
}
