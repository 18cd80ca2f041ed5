#!/usr/bin/env node
import { FileError } from '../platform/errors.ts';
import { brokenPipeCode, err, out } from './output.ts';
import { report, runProgram } from './program.ts';

/** Dawn's instance keeps the event loop alive, so the process is ended; what was written must be out before. */
async function end(code: number): Promise<never> {
  await Promise.all([out.flush(), err.flush()]);
  if (out.failure === '') process.exit(brokenPipeCode);
  if (out.failure) report(new FileError(out.failure), false);
  process.exit(out.failure ? 1 : code);
}

for (const event of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(event, (e: unknown) => {
    report(e, process.argv.includes('--debug'));
    void end(1);
  });

await end(await runProgram(process.argv.slice(2)));
