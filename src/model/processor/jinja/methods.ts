import { type Builtin, intOf, stringOf } from './arguments.ts';
import { format } from './format.ts';
import {
  chars,
  Dict,
  equal,
  given,
  iterate,
  JinjaError,
  space,
  spend,
  Tuple,
  textOf,
  type Value,
  View,
} from './values.ts';

const of = (params: string, run: (text: string, args: (Value | undefined)[]) => Value): Builtin => ({
  params,
  run: (v, args) => run(v as string, args),
});

/** str.strip: of white space, or of the characters given. */
export function strip(text: string, set: Value | undefined, left: boolean, right: boolean): string {
  const only = set === undefined || set === null ? undefined : new Set(chars(stringOf(set, 'strip()')));
  const all = chars(text);
  const out = (c: string) => (only ? only.has(c) : space.test(c));
  let [from, to] = [0, all.length];
  while (left && from < to && out(all[from]!)) from++;
  while (right && from < to && out(all[to - 1]!)) to--;
  return all.slice(from, to).join('');
}

// Python's line ends.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are line ends
const lineEnd = /\r\n|[\n\v\f\r\u001c-\u001e\u0085\u2028\u2029]/gu;

export function splitLines(text: string, keep = false): string[] {
  const lines: string[] = [];
  let from = 0;
  for (const { 0: end, index } of text.matchAll(lineEnd)) {
    lines.push(text.slice(from, keep ? index + end.length : index));
    from = index + end.length;
  }
  return from < text.length ? [...lines, text.slice(from)] : lines;
}

/** @param count at most so many, from the left; all below zero. */
export function replaceText(text: string, from: string, to: string, count: number): string {
  const parts = from === '' ? ['', ...chars(text), ''] : text.split(from);
  const times = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1);
  spend(text.length + times * to.length);
  const out = parts.slice(0, times + 1).join(to);
  return times === parts.length - 1 ? out : out + from + parts.slice(times + 1).join(from);
}

function split(text: string, sep: Value | undefined, max: Value | undefined, right: boolean): Value[] {
  const limit = max === undefined ? -1 : intOf(max, 'split()');
  spend(text.length);
  if (sep === undefined || sep === null) {
    if (right && limit >= 0) throw new JinjaError('rsplit() of white space with a limit is not supported here');
    const parts: string[] = [];
    let rest = strip(text, null, true, false);
    while (rest !== '' && (limit < 0 || parts.length < limit)) {
      const end = rest.search(space);
      if (end < 0) break;
      parts.push(rest.slice(0, end));
      rest = strip(rest.slice(end), null, true, false);
    }
    return rest === '' ? parts : [...parts, limit < 0 ? strip(rest, null, false, true) : rest];
  }
  const by = stringOf(sep, 'split()');
  if (by === '') throw new JinjaError('split() by an empty str');
  const parts = text.split(by);
  if (limit < 0 || parts.length <= limit + 1) return parts;
  if (right) return [parts.slice(0, parts.length - limit).join(by), ...parts.slice(parts.length - limit)];
  return [...parts.slice(0, limit), parts.slice(limit).join(by)];
}

const starts = (what: 'startsWith' | 'endsWith') =>
  of('prefix', (text, [prefix]) =>
    (prefix instanceof Tuple ? prefix.items : [prefix]).some((p) => text[what](stringOf(p, what.toLowerCase()))),
  );
const find = (last: boolean, strict: boolean) =>
  of('sub start?', (text, [sub, start]) => {
    const all = chars(text);
    const from = start === undefined ? 0 : intOf(start, 'find()');
    if (from < 0) throw new JinjaError('find() from a negative start is not supported here');
    const part = all.slice(from).join('');
    const at = last ? part.lastIndexOf(stringOf(sub, 'find()')) : part.indexOf(stringOf(sub, 'find()'));
    if (at < 0 && strict) throw new JinjaError('index(): substring not found');
    return at < 0 || from > all.length ? -1n : BigInt(from + chars(part.slice(0, at)).length);
  });
const partition = (last: boolean) =>
  of('sep', (text, [sep]) => {
    const by = stringOf(sep, 'partition()');
    if (by === '') throw new JinjaError('partition() by an empty str');
    const at = last ? text.lastIndexOf(by) : text.indexOf(by);
    if (at < 0) return new Tuple(last ? ['', '', text] : [text, '', '']);
    return new Tuple([text.slice(0, at), by, text.slice(at + by.length)]);
  });
const pad = (side: 'left' | 'right' | 'both') =>
  of('width fillchar?', (text, [width, fill]) => {
    const by = fill === undefined ? ' ' : stringOf(fill, 'a fill');
    if (chars(by).length !== 1) throw new JinjaError('the fill is one character');
    const size = intOf(width, 'a width');
    const missing = Math.max(0, size - chars(text).length);
    spend(missing);
    const left = side === 'left' ? missing : side === 'right' ? 0 : Math.floor(missing / 2) + (missing & size & 1);
    return by.repeat(left) + text + by.repeat(missing - left);
  });
export const center = pad('both');
// Decimal digits, and those in circles, small or otherwise for show (Unicode's Numeric_Type=Digit).
const digits =
  /^[\p{Nd}\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]+$/u;
const is = (pattern: RegExp) => of('', (text) => pattern.test(text));
const cased = (pattern: RegExp, other: RegExp) => of('', (text) => pattern.test(text) && !other.test(text));

const lower = (text: string) => text.toLowerCase();
// Characters whose title case is neither their upper case nor one capital and small letters: digraphs, Greek with iota below.
const ownTitleCase =
  /[\u0149\u01c4-\u01cc\u01f1-\u01f3\u1f80-\u1faf\u1fb2-\u1fb4\u1fb7\u1fbc\u1fc2-\u1fc4\u1fc7\u1fcc\u1ff2-\u1ff4\u1ff7\u1ffc]/;
function titleCase(character: string): string {
  if (ownTitleCase.test(character)) throw new JinjaError(`the title case of "${character}" is not supported here`);
  if (/[\u10d0-\u10ff]/.test(character)) return character; // Georgian has upper case, and no titles
  const [first = '', ...rest] = chars(character.toUpperCase());
  return first + rest.join('').toLowerCase();
}

/** Python's str.capitalize. */
export function capitalize(text: string): string {
  const [first = ''] = chars(text);
  return titleCase(first) + lower(text).slice(lower(first).length);
}

export const strMethods: Record<string, Builtin> = {
  upper: of('', (t) => t.toUpperCase()),
  lower: of('', lower),
  title: of('', (t) => t.replace(/\p{Cased}+/gu, capitalize)),
  capitalize: of('', capitalize),
  strip: of('chars?', (t, [c]) => strip(t, c, true, true)),
  lstrip: of('chars?', (t, [c]) => strip(t, c, true, false)),
  rstrip: of('chars?', (t, [c]) => strip(t, c, false, true)),
  split: of('sep? maxsplit?', (t, [s, m]) => split(t, s, m, false)),
  rsplit: of('sep? maxsplit?', (t, [s, m]) => split(t, s, m, true)),
  splitlines: of('keepends?', (t, [k]) => splitLines(t, k === true)),
  startswith: starts('startsWith'),
  endswith: starts('endsWith'),
  replace: of('old new count?', (t, [a, b, c]) =>
    replaceText(t, stringOf(a, 'replace()'), stringOf(b, 'replace()'), c === undefined ? -1 : intOf(c, 'replace()')),
  ),
  find: find(false, false),
  rfind: find(true, false),
  index: find(false, true),
  rindex: find(true, true),
  count: of('sub', (t, [s]) => BigInt(s === '' ? chars(t).length + 1 : t.split(stringOf(s, 'count()')).length - 1)),
  join: of('iterable', (t, [list]) => {
    const parts = iterate(list!).map((e) => stringOf(e, 'join()'));
    spend(parts.reduce((n, p) => n + p.length + t.length, 0));
    return parts.join(t);
  }),
  format: { params: '*', run: (v, args, kwargs) => format(v as string, args as Value[], kwargs) },
  ljust: pad('right'),
  rjust: pad('left'),
  center,
  zfill: of('width', (t, [w]) => {
    const missing = Math.max(0, intOf(w, 'zfill()') - chars(t).length);
    spend(missing);
    const sign = /^[-+]/.exec(t)?.[0] ?? '';
    return sign + '0'.repeat(missing) + t.slice(sign.length);
  }),
  partition: partition(false),
  rpartition: partition(true),
  removeprefix: of('prefix', (t, [p]) =>
    t.startsWith(stringOf(p, 'removeprefix()')) ? t.slice((p as string).length) : t,
  ),
  removesuffix: of('suffix', (t, [s]) =>
    s !== '' && t.endsWith(stringOf(s, 'removesuffix()')) ? t.slice(0, -(s as string).length) : t,
  ),
  isalpha: is(/^\p{L}+$/u),
  isdecimal: is(/^\p{Nd}+$/u),
  isdigit: is(digits),
  isalnum: is(/^[\p{L}\p{N}]+$/u),
  isspace: is(new RegExp(`^${space.source}+$`, 'u')),
  islower: cased(/\p{Lowercase}/u, /[\p{Uppercase}\p{Lt}]/u),
  isupper: cased(/\p{Uppercase}/u, /[\p{Lowercase}\p{Lt}]/u),
  isascii: of('', (t) => !/[\u0080-\uffff]/.test(t)),
};

const dict = (params: string, run: (d: Dict, args: (Value | undefined)[]) => Value): Builtin => ({
  params,
  run: (v, args) => run(v as Dict, args),
});
export const dictMethods: Record<string, Builtin> = {
  get: dict('key default?', (d, [key, fallback]) => given(d.get(key!), given(fallback, null))),
  keys: dict('', (d) => new View('keys', d)),
  values: dict('', (d) => new View('values', d)),
  items: dict('', (d) => new View('items', d)),
  copy: dict('', (d) => new Dict(d.entries())),
};
export const listMethods: Record<string, Builtin> = {
  index: {
    params: 'value',
    run: (v, [x]) => {
      const at = iterate(v).findIndex((e) => equal(e, x!));
      if (at < 0) throw new JinjaError(`index(): ${textOf(x!)} is not in the list`);
      return BigInt(at);
    },
  },
  count: { params: 'value', run: (v, [x]) => BigInt(iterate(v).filter((e) => equal(e, x!)).length) },
  copy: { params: '', run: (v) => [...iterate(v)] },
};
/** What Python's values have besides: never taken for undefined. */
export const refused: Record<string, ReadonlySet<string>> = {
  str: new Set(
    'casefold encode expandtabs format_map isidentifier isnumeric isprintable istitle maketrans swapcase translate'.split(
      ' ',
    ),
  ),
  dict: new Set('clear fromkeys pop popitem setdefault update'.split(' ')),
  list: new Set('append clear extend insert pop remove reverse sort'.split(' ')),
  int: new Set(
    'real imag numerator denominator bit_length bit_count to_bytes from_bytes conjugate as_integer_ratio is_integer'.split(
      ' ',
    ),
  ),
  float: new Set('real imag conjugate as_integer_ratio is_integer hex fromhex'.split(' ')),
};
