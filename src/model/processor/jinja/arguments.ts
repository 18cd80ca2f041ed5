import { JinjaError, type Kwargs, textOf, typeName, Undefined, type Value } from './values.ts';

/** A filter, test or method: the value it stands at, then its arguments by place, undefined where not given. */
export interface Builtin {
  /** Names of the arguments, optional ones with "?"; "*" takes any. */
  readonly params: string;
  readonly run: (value: Value, args: (Value | undefined)[], kwargs: Kwargs) => Value;
}

/** Calls a function of Jinja's or Python's. @throws JinjaError for arguments that it does not take. */
export function callBuiltin(
  what: string,
  { params, run }: Builtin,
  value: Value,
  args: Value[],
  kwargs: Kwargs,
): Value {
  if (params === '*') return run(value, args, kwargs);
  const names = params.split(' ').filter(Boolean);
  if (args.length > names.length) throw new JinjaError(`${what} takes at most ${names.length} arguments`);
  const bound: (Value | undefined)[] = [...args];
  for (const [name, given] of kwargs) {
    const place = names.findIndex((n) => n.replace('?', '') === name);
    if (place < 0 || bound[place] !== undefined) throw new JinjaError(`${what}: unexpected argument "${name}"`);
    bound[place] = given;
  }
  for (const [i, name] of names.entries())
    if (!name.endsWith('?') && bound[i] === undefined)
      throw new JinjaError(`${what}: the argument "${name}" is missing`);
  return run(value, bound, kwargs);
}

export function stringOf(v: Value | undefined, what: string): string {
  if (typeof v !== 'string')
    throw new JinjaError(`${what} takes a str, not ${v === undefined ? 'nothing' : typeName(v)}`);
  return v;
}
export function intOf(v: Value | undefined, what: string): number {
  if (typeof v === 'boolean') return Number(v);
  if (typeof v !== 'bigint')
    throw new JinjaError(`${what} takes an int, not ${v === undefined ? 'nothing' : typeName(v)}`);
  return Number(v);
}
export function defined(v: Value): Value {
  if (v instanceof Undefined) throw new JinjaError(`${v.what} is undefined`);
  return v;
}
/** As filters of text take a value. Escaped text would have to stay escaped. */
export function softText(v: Value): string {
  if (typeof v === 'object' && v !== null && 'text' in v)
    throw new JinjaError('a filter of escaped text is not supported here');
  return textOf(v);
}
