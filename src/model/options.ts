import { InputError } from './errors.ts';

/**
 * Refuses options that a function does not have: a misspelt one must not look like one that does nothing.
 * @param where the function, for the message. @throws InputError naming the option and the one that it may be meant for.
 */
export function checkOptions(options: object, known: readonly string[], where: string): void {
  const plain = (name: string) => name.replaceAll('_', '').toLowerCase().replace(/s$/, '');
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const meant = known.find((other) => plain(other) === plain(name));
    throw new InputError(
      `${where}: no option ${name}; ${meant ? `did you mean ${meant}?` : `there are ${known.join(', ')}`}`,
    );
  }
}
