/**
 * Runs what a checkpoint brings. In Node it is stopped after a time; a page has no way to stop synchronous JavaScript, so run
 * checkpoints of strangers in a Worker, which can be terminated.
 * @param what names it in errors.
 */
export function boundedCall<T>(_what: string, call: () => T, _ms?: number): T {
  return call();
}
