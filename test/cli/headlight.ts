import { execFile, spawn } from 'node:child_process';
import { vi } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { openGpu } from '../../src/gpu/gpu.ts';
import { sharedDevice } from '../gpu.ts';

const command = ['--import', 'tsx', '-C', 'headlight-source', 'src/cli/main.ts'];

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * The command line within this process, on one device: ten times faster than a process each. One at a time. For what is
 * about processes (Ctrl-C, the environment, streams), `headlightProcess`.
 */
export const headlight = (...args: string[]): Promise<Outcome> => headlightHeard(() => {}, args);

async function headlightHeard(onWrite: (text: string) => void, args: readonly string[]): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += text;
      onWrite(String(text));
      return true;
    }),
  );
  try {
    const code = await runProgram(args, {
      openGpu: async (options) => openGpu({ ...options, device: await sharedDevice() }),
    });
    return { code, ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** The command line in a process of its own, as its users meet it. */
export function headlightProcess(...args: string[]): Promise<Outcome> {
  return new Promise((done) => {
    execFile(process.execPath, [...command, ...args], { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
    });
  });
}

/** The same, ended by Ctrl-C as soon as it has said something: its exit code. */
export function interruptedProcess(said: RegExp, ...args: string[]): Promise<number | null> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [...command, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.setEncoding('utf8').on('data', (text: string) => said.test(text) && child.kill('SIGINT'));
    child.on('exit', done);
  });
}

/** Within this process: what a command hears of Ctrl-C, as soon as it has said something. A second one would not wait. */
export function interrupted(said: RegExp, ...args: string[]): Promise<Outcome> {
  let told = false;
  return headlightHeard((text) => {
    if (told || !said.test(text)) return;
    told = true;
    process.emit('SIGINT', 'SIGINT');
  }, args);
}
