// Long computations in pieces: generators that yield how far they are, run at once or with pauses for the event loop.

/** How far a computation is. */
interface Piece {
  /** What is being done, for people. */
  readonly part: string;
  readonly done: number;
  readonly total: number;
}

/** A computation that yields after each of its pieces, of some milliseconds each. */
export type InPieces<T> = Generator<Piece, T>;

/** Who watches a computation, and may end it. */
export interface PieceOptions {
  /** Ends it, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** After each piece: how many of a part are done, of how many, and which part that is. */
  readonly onProgress?: (done: number, total: number, part: string) => void;
}

/** How long the event loop waits at most, beside the piece that runs: in milliseconds. */
const patience = 50;

/** Runs a computation without pauses. */
export function atOnce<T>(work: InPieces<T>): T {
  for (;;) {
    const next = work.next();
    if (next.done) return next.value;
  }
}

/** Runs a computation with pauses, in which timers, messages and signals have their turn. @throws the signal's reason. */
export async function withPauses<T>(work: InPieces<T>, { signal, onProgress }: PieceOptions): Promise<T> {
  signal?.throwIfAborted();
  for (let paused = performance.now(); ; ) {
    const next = work.next();
    if (next.done) return next.value;
    const { part, done, total } = next.value;
    onProgress?.(done, total, part);
    if (performance.now() - paused < patience) continue;
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
    paused = performance.now();
  }
}
