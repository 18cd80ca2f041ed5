// Tables of choices: an entry is a thing that people choose by its key, with all that is said of it and done with it.

/** The keys of a table, as its type has them, in its order. One at least. */
export const keysOf = <Table extends object>(table: Table) =>
  Object.keys(table) as [keyof Table & string, ...(keyof Table & string)[]];

/** The choices of an option as one phrase of its help text: `a, b, or c`. */
export function helpOf(table: Readonly<Record<string, { readonly help: string }>>): string {
  const phrases = Object.values(table).map(({ help }) => help);
  return [...phrases.slice(0, -1), `or ${phrases.at(-1)}`].join(', ');
}
