import { createContext, Script } from 'node:vm';
import { BoundError } from './errors.ts';

// A script that calls what it is given: the only way in Node to stop synchronous JavaScript, regular expressions included,
// after a time and at Ctrl-C. A call costs about 0.1 ms more.
const context = createContext({ call: undefined as (() => void) | undefined });
const script = new Script('call()');

/**
 * Runs what a checkpoint brings (its template, its regular expressions) for so long and no longer; Ctrl-C ends it too.
 * Memory is not bounded.
 * @param what names it in errors: `chat_template.jinja`
 * @param ms how long, 10 seconds by default.
 * @throws BoundError where it takes longer, or where Ctrl-C ends it; otherwise whatever `call` throws.
 */
export function boundedCall<T>(what: string, call: () => T, ms = 10_000): T {
  let result: { value: T } | undefined;
  const outer = context.call;
  context.call = () => {
    result = { value: call() };
  };
  try {
    script.runInContext(context, { timeout: ms, breakOnSigint: true });
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      throw new BoundError(
        `${what}: it takes longer than ${ms / 1000} s and was stopped; is the checkpoint's file damaged, or hostile?`,
      );
    if (code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') {
      // Whoever else waits for it hears of it, and before the error below reaches them.
      if (!process.emit('SIGINT', 'SIGINT')) process.kill(process.pid, 'SIGINT');
      throw new BoundError(`${what}: stopped by Ctrl-C`);
    }
    throw e;
  } finally {
    context.call = outer;
  }
  return result!.value;
}
