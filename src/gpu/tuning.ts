// What a device was tuned to: which candidate of an operation runs for a class of shapes (docs/adr/0021-tuning.md).

/** What a launcher asks when it records a dispatch. */
export interface TuningQuestion {
  readonly op: string;
  /** All that the best candidate may depend on, but for the device. */
  readonly sizes: Readonly<Record<string, number | string>>;
  /** Those of the sizes that grow with prompts and batches: up to the next power of two they are of one class. */
  readonly growing: readonly string[];
}

/** Names of candidates, by operation and class of shapes. Plain data, to be kept and shared as JSON. */
export type TunedChoices = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Answers launchers. Whatever it answers, a launcher takes only a candidate that it knows and that can run. */
export interface Tuning {
  /** Head vectors that are kept depend on these in their last bits. */
  readonly choices: TunedChoices;
  /** The candidate that is to run; undefined: what the operation chooses by itself. */
  candidate(question: TuningQuestion): string | undefined;
}

/** The class of a question's shape, as text: `rows up to 1024, n 4096, k 4096, format f16`. */
export const shapeClass = ({ sizes, growing }: Omit<TuningQuestion, 'op'>): string =>
  Object.entries(sizes)
    .map(([name, size]) =>
      typeof size === 'number' && growing.includes(name)
        ? `${name} up to ${2 ** Math.ceil(Math.log2(size))}`
        : `${name} ${size}`,
    )
    .join(', ');

/** Answers from `choices`. */
export const tunedTo = (choices: TunedChoices): Tuning => ({
  choices,
  candidate({ op, ...shape }) {
    if (!Object.hasOwn(choices, op)) return undefined;
    const name = shapeClass(shape);
    return Object.hasOwn(choices[op], name) ? choices[op][name] : undefined;
  },
});

export const untuned: Tuning = tunedTo({});
