import { execFile } from 'node:child_process';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line in a process of its own, as its users meet it. */
export function headlight(...args: string[]): Promise<Outcome> {
  const command = ['--import', 'tsx', '-C', 'development', 'src/cli/main.ts', ...args];
  return new Promise((done) => {
    execFile(process.execPath, command, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
    });
  });
}
