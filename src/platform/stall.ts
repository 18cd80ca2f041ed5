/** How slow an answer may come. */
export interface StallOptions {
  /** Bytes a second, over `stallSeconds`, below which it is given up. Default 1024. */
  readonly minRate?: number;
  /** Default 60. */
  readonly stallSeconds?: number;
}

export const defaultMinRate = 1024;
export const defaultStallSeconds = 60;

/** Watches an answer as it comes. */
export interface StallWatch {
  /** Aborts once too few bytes came; its reason says how few. */
  readonly signal: AbortSignal;
  /** So many bytes came. */
  count(bytes: number): void;
  /** To be called when the answer is done with: the signal aborts too, which ends what is left of it. */
  stop(): void;
}

/** For `fetch` and the reads of its answer: a server may accept a request and then send nothing, or a byte now and then, for ever. */
export function watchStall(options: StallOptions = {}): StallWatch {
  const { minRate = defaultMinRate, stallSeconds = defaultStallSeconds } = options;
  const cut = new AbortController();
  let came = 0;
  const watch = setInterval(() => {
    if (came < Math.max(1, minRate * stallSeconds))
      cut.abort(new Error(`${came === 0 ? 'nothing' : `only ${came} bytes`} came for ${stallSeconds} s`));
    came = 0;
  }, stallSeconds * 1000);
  return {
    signal: cut.signal,
    count(bytes) {
      came += bytes;
    },
    stop() {
      clearInterval(watch);
      cut.abort();
    },
  };
}
