// Schemas of what comes from outside as JSON: valibot's, made as strict as that needs (theirs take lists for objects, and 1e999, which
// is Infinity, for a number), with errors in our words (ADR 20). Imported as a namespace, `s`.
import * as v from 'valibot';
import { quote, quoteValue } from './quote.ts';

export {
  array,
  boolean,
  type GenericSchema,
  type InferOutput,
  literal,
  nullish,
  optional,
  pipe,
  strictTuple as tuple,
  transform,
  unknown,
} from 'valibot';

/** What is wrong with a part of the value. */
export interface Problem {
  /** Names and indices that lead to it; none of the value itself. */
  readonly path: readonly (string | number)[];
  /** `expected whole number of at least 1, got "12"` */
  readonly message: string;
}

/** A value that a schema takes, or what is wrong with it. */
export type Checked<T> =
  | { readonly value: T; readonly problems?: undefined }
  | { readonly value?: undefined; readonly problems: readonly Problem[] };

/** Holds a value against a schema; every problem is named, not the first alone. */
export function check<S extends v.GenericSchema>(schema: S, json: unknown): Checked<v.InferOutput<S>> {
  const { success, output, issues } = v.safeParse(schema, json, { message: say });
  if (success) return { value: output };
  return {
    problems: issues.map((issue) => {
      const path = (issue.path ?? []).map(({ key }) => key as string | number);
      return { path: isTooMuch(issue) ? path.slice(0, -1) : path, message: issue.message };
    }),
  };
}

/** A problem as one phrase: `text_config.vocab_size: missing`. @param whole what the value is called where all of it is wrong. */
export const describe = ({ path, message }: Problem, whole: string): string => `${path.join('.') || whole}: ${message}`;

/** Of a name that a strict object does not have, or an element after a tuple's last. */
const isTooMuch = ({ expected }: v.BaseIssue<unknown>): boolean => expected === 'never';

/** The errors of valibot's own schemas. */
function say(issue: v.BaseIssue<unknown>): string {
  const last = issue.path?.at(-1);
  if (isTooMuch(issue) && last)
    return last.type === 'array'
      ? `expected array of ${last.key} elements, got ${(last.input as unknown[]).length}`
      : `Unrecognized key: ${quote(String(last.key))}`;
  if (last?.type === 'object' && last.origin === 'key') return 'missing';
  return expected(issue.expected?.toLowerCase() ?? 'another value')(issue);
}

/** A message of valibot's. */
const expected =
  (what: string) =>
  ({ input }: { readonly input: unknown }): string =>
    `expected ${what}, got ${found(input)}`;

/** Not what lists and objects hold, which may be as long as the file. */
function found(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length ? 'an array' : 'an empty array';
  if (typeof value === 'number') return String(value); // Infinity is null in JSON
  return typeof value === 'object' && value !== null ? 'an object' : quoteValue(value);
}

function between(least: number, most: number, unit = ''): string {
  if (least === most) return ` of ${least}${unit}`;
  if (least > -Infinity && most < Infinity) return ` from ${least} to ${most}${unit}`;
  if (least > -Infinity) return ` of at least ${least}${unit}`;
  return most < Infinity ? ` of at most ${most}${unit}` : '';
}

/** A value that passes a test. @param what it is, for the error. */
export const is = <T>(test: (value: unknown) => boolean, what: string) => v.custom<T>(test, expected(what));

/** A finite number, within bounds that count in. */
export const number = (least = -Infinity, most = Infinity) =>
  is<number>(
    (x) => typeof x === 'number' && Number.isFinite(x) && x >= least && x <= most,
    `number${between(least, most)}`,
  );

/** A finite number above 0. */
export const positive = (most = Infinity) =>
  is<number>(
    (x) => typeof x === 'number' && Number.isFinite(x) && x > 0 && x <= most,
    `number above 0${most < Infinity ? `, of at most ${most}` : ''}`,
  );

/** A whole number that JavaScript has exactly, within bounds that count in. */
export const int = (least = -Infinity, most = Infinity) =>
  is<number>(
    (x) => Number.isSafeInteger(x) && (x as number) >= least && (x as number) <= most,
    `whole number${between(least, most)}`,
  );

/** A text of so many UTF-16 units. */
export const string = (least = 0, most = Infinity) =>
  is<string>(
    (x) => typeof x === 'string' && x.length >= least && x.length <= most,
    `string${least || most < Infinity ? between(least || -Infinity, most, ' characters') : ''}`,
  );

/** A text of a form. @param what the form is called in the error. */
export const matching = (form: RegExp, what: string) => is<string>((x) => typeof x === 'string' && form.test(x), what);

/** What one of some schemas takes. @param message what to give: the schemas themselves do not say it. */
export const union = <const T extends readonly v.GenericSchema[]>(
  options: T,
  message: string | ((issue: { readonly input: unknown }) => string),
) => v.union(options, message);

/** One of some texts. @param message in the place of our own. */
export const oneOf = <const T extends readonly string[]>(
  values: T,
  message = expected(`one of ${values.map(quote).join(', ')}`),
) => v.picklist(values, message);

/** A list of so many elements. */
export const list = <S extends v.GenericSchema>(element: S, least: number, most = Infinity) =>
  v.pipe(
    v.array(element),
    v.check(
      ({ length }) => length >= least && length <= most,
      ({ input }) => `expected array${between(least, most, ' elements')}, got ${input.length}`,
    ),
  );

const plain = is<object>((x) => typeof x === 'object' && x !== null && !Array.isArray(x), 'object');

/** Names of the parts, and what each is to be. */
export type Entries = v.ObjectEntries;

/** An object; what else is in it is left out. */
export const object = <E extends Entries>(entries: E) => v.pipe(plain, v.object(entries));

/** An object; what else is in it is kept. */
export const looseObject = <E extends Entries>(entries: E) => v.pipe(plain, v.looseObject(entries));

/** An object that has nothing else. */
export const strictObject = <E extends Entries>(entries: E) => v.pipe(plain, v.strictObject(entries));

/** An object of which every part may be absent; what else is in it is left out. */
export const partial = <E extends Entries>(
  entries: E,
): v.GenericSchema<unknown, Partial<v.InferOutput<v.ObjectSchema<E, undefined>>>> =>
  v.pipe(plain, v.partial(v.object(entries))) as never; // its own type is none to TypeScript 5.9

/** Values by name. (Those named `constructor` or `prototype` are left out, as in all objects that keep what they do not know.) */
export const record = <K extends v.GenericSchema<string, string>, S extends v.GenericSchema>(key: K, value: S) =>
  v.pipe(plain, v.record(key, value));
