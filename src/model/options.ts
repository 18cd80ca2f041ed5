import { InputError } from './errors.ts';

/** What a model can be bound to (`Model.with`), and no other function takes. */
export const boundOptions: readonly string[] = [
  'edits',
  'kernels',
  'maxResultBytes',
  'signal',
  'onProgress',
  'profiler',
];

/**
 * Refuses options that a function does not have: a misspelt one must not look like one that does nothing.
 * @param where the function, for the message. @throws InputError naming the option and the one that it may be meant for.
 */
export function checkOptions(options: object, known: readonly string[], where: string): void {
  const plain = (name: string) => name.replaceAll('_', '').toLowerCase().replace(/s$/, '');
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    if (boundOptions.includes(name))
      throw new InputError(`${where}: no option ${name}; bind the model to it, model.with({ ${name} })`);
    const meant = known.find((other) => plain(other) === plain(name));
    const instead = meant
      ? `did you mean ${meant}?`
      : known.length
        ? `there are ${known.join(', ')}`
        : 'there are none';
    throw new InputError(`${where}: no option ${name}; ${instead}`);
  }
}
