import { execFile, spawn } from 'node:child_process';

const command = ['--import', 'tsx', '-C', 'development', 'src/cli/main.ts'];

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line in a process of its own, as its users meet it. */
export function headlight(...args: string[]): Promise<Outcome> {
  return new Promise((done) => {
    execFile(process.execPath, [...command, ...args], { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
    });
  });
}

/** The same, ended by Ctrl-C as soon as it has said something: its exit code. */
export function interrupted(said: RegExp, ...args: string[]): Promise<number | null> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [...command, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.setEncoding('utf8').on('data', (text: string) => said.test(text) && child.kill('SIGINT'));
    child.on('exit', done);
  });
}
