// Waiting for the GPU without keeping a core busy. Dawn's Node binding asks for news with setImmediate, again and again: while
// something is awaited the event loop turns as fast as it can, and takes a core from the software adapter, which computes on
// that core (docs/adr/0013-naps-while-the-gpu-works.md).

/** Longest nap, in milliseconds: other work of this thread waits so long at each turn of the event loop. */
const longest = 1;
/** A nap is this part of what was waited before: so a wait grows by no more than this part. */
const part = 1 / 32;
/** Shorter naps are not worth the call, in milliseconds: the first of a wait comes after 1 ms. */
const shortest = 1 / 32;

const never = new Int32Array(new SharedArrayBuffer(4));
let waiting = 0;
let since = 0;
let turning = false;

function turn(): void {
  turning = waiting > 0;
  if (!turning) return;
  const nap = Math.min(longest, (performance.now() - since) * part);
  if (nap >= shortest) Atomics.wait(never, 0, 0, nap);
  setImmediate(turn);
}

/** What `done` gives. Until then, each turn of the event loop takes a short nap, longer the longer the wait. */
export async function waitForGpu<T>(done: Promise<T>): Promise<T> {
  if (waiting++ === 0) since = performance.now();
  if (!turning) {
    turning = true;
    setImmediate(turn);
  }
  try {
    return await done;
  } finally {
    waiting--;
  }
}
