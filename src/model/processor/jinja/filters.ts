import { type Builtin, callBuiltin, defined, intOf, softText, stringOf } from './arguments.ts';
import { fixed, json, percent } from './format.ts';
import { capitalize, center, replaceText, splitLines, strip } from './methods.ts';
import { attributePath, contains } from './operators.ts';
import {
  chars,
  compare,
  Dict,
  equal,
  Func,
  given,
  iterate,
  JinjaError,
  type Kwargs,
  Lazy,
  lengthOf,
  Markup,
  number,
  numeric,
  Range,
  spend,
  Tuple,
  textOf,
  truthy,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts';

/** Of the filter `title`, which knows no title case. */
const upperFirst = (word: string) => {
  const [first = ''] = word;
  return first.toUpperCase() + word.slice(first.length).toLowerCase();
};

const f = (params: string, run: Builtin['run']): Builtin => ({ params, run });
const folded = (v: Value): Value => (typeof v === 'string' ? v.toLowerCase() : v);
const key = (attribute: Value | undefined, sensitive: Value | undefined) => (v: Value) => {
  const found = attribute === undefined || attribute === null ? v : attributePath(v, attribute);
  return sensitive !== undefined && truthy(sensitive) ? found : folded(found);
};
function sorted(items: readonly Value[], by: (v: Value) => Value, reverse: Value | undefined): Value[] {
  const keyed = items.map((v) => [by(v), v] as const);
  if (keyed.length === 1) return [...items];
  const sign = reverse !== undefined && truthy(reverse) ? -1 : 1;
  return keyed.sort(([a], [b]) => sign * compare(a, b)).map(([, v]) => v);
}
const extreme = (sign: number) =>
  f('case_sensitive? attribute?', (v, [sensitive, attribute]) => {
    const by = key(attribute, sensitive);
    const items = iterate(v);
    return items.length
      ? items.reduce((a, b) => (sign * compare(by(b), by(a)) < 0 ? b : a))
      : new Undefined('the least or most of nothing');
  });

/** select, reject, selectattr and rejectattr. */
const choose = (attribute: boolean, keep: boolean) =>
  f('*', (v, all, kwargs) => {
    const args = all as Value[];
    if (attribute && args.length === 0) throw new JinjaError('selectattr takes an attribute');
    const [name, ...rest] = attribute ? args.slice(1) : args;
    const items = iterate(v).filter((e) => {
      const of = attribute ? attributePath(e, args[0]!) : e;
      return (name === undefined ? truthy(of) : truthy(runTest(stringOf(name, 'select'), of, rest, kwargs))) === keep;
    });
    return new Lazy(items);
  });

/** What may be a number: without spaces around it and `_` within. Python reads the digits of every script. */
function digitsOf(text: string): string {
  if (/[^0-9\P{Nd}]/u.test(text))
    throw new JinjaError(`the digits of ${JSON.stringify(text.slice(0, 20))} are not supported here`);
  return strip(text, null, true, true).replace(/(\d)_(?=\d)/g, '$1');
}

function toFloat(text: string): number | undefined {
  const t = digitsOf(text);
  if (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(t)) return Number(t);
  const special = /^([-+]?)(inf|infinity|nan)$/i.exec(t);
  return special
    ? (special[1] === '-' ? -1 : 1) * (/^n/i.test(special[2]!) ? Number.NaN : Number.POSITIVE_INFINITY)
    : undefined;
}
function toInt(v: Value, base: number): bigint | undefined {
  if (typeof v === 'bigint' || typeof v === 'boolean') return BigInt(v);
  if (typeof v === 'number' && Math.abs(v) === Number.POSITIVE_INFINITY)
    throw new JinjaError('int of an infinite float');
  if (typeof v === 'number') return Number.isNaN(v) ? undefined : BigInt(Math.trunc(v));
  if (typeof v !== 'string') return undefined;
  if (base !== 10) throw new JinjaError('int with a base is not supported here');
  const text = digitsOf(v);
  if (/^[-+]?\d+$/.test(text)) return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text.replace('+', ''));
  const float = toFloat(v);
  return float !== undefined && Number.isFinite(float) ? BigInt(Math.trunc(float)) : undefined;
}

const filters: Record<string, Builtin> = {
  abs: f('', (v) => {
    if (!numeric(v)) throw new JinjaError(`abs of a ${typeName(v)}`);
    const n = number(v);
    return n < 0 || Object.is(n, -0) ? -n : n;
  }),
  batch: f('linecount fill_with?', (v, [count, fill]) => {
    const [items, size] = [iterate(v), intOf(count, 'batch')];
    if (size < 1) throw new JinjaError('batch takes a size above 0');
    const rows: Value[][] = [];
    for (let i = 0; i < items.length; i += size) rows.push(items.slice(i, i + size));
    const last = rows.at(-1);
    if (last && fill !== undefined && fill !== null) {
      spend(size);
      while (last.length < size) last.push(fill);
    }
    return new Lazy(rows);
  }),
  capitalize: f('', (v) => capitalize(softText(v))),
  center: f('width?', (v, [width]) => center.run(softText(v), [width ?? 80n], new Map())),
  default: f('default_value? boolean?', (v, [d, boolean]) =>
    v instanceof Undefined || (boolean !== undefined && truthy(boolean) && !truthy(v)) ? given(d, '') : v,
  ),
  dictsort: f('case_sensitive? by? reverse?', (v, [sensitive, by, reverse]) => {
    if (!(v instanceof Dict)) throw new JinjaError(`dictsort of a ${typeName(v)}`);
    if (by !== undefined && by !== 'key' && by !== 'value') throw new JinjaError('dictsort is by "key" or "value"');
    const of = key(undefined, sensitive);
    return sorted(new View('items', v).items, (e) => of((e as Tuple).items[by === 'value' ? 1 : 0]!), reverse);
  }),
  escape: f('', (v) =>
    v instanceof Markup
      ? v
      : new Markup(
          softText(v).replace(
            /[&<>"']/g,
            (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;' })[c] ?? '&#39;',
          ),
        ),
  ),
  first: f('', (v) => {
    const found = v instanceof Lazy ? v.rest.shift() : iterate(v)[0];
    return given(found, new Undefined('the first of nothing'));
  }),
  float: f('default?', (v, [d]) => {
    defined(v);
    const found = numeric(v) ? Number(v) : typeof v === 'string' ? toFloat(v) : undefined;
    return found ?? given(d, 0);
  }),
  format: f('*', (v, args, kwargs) => {
    if (kwargs.size && args.length) throw new JinjaError('format takes arguments by place or by name, not both');
    return percent(softText(v), kwargs.size ? new Dict(kwargs) : new Tuple(args as Value[]));
  }),
  indent: f('width? first? blank?', (v, [width, first, blank]) => {
    const by =
      typeof width === 'string' ? width : ' '.repeat(Math.min(100_000, Math.max(0, intOf(width ?? 4n, 'indent'))));
    const lines = splitLines(`${softText(v)}\n`);
    spend(lines.length * by.length);
    const rest = lines.slice(1).map((l) => (l !== '' || (blank !== undefined && truthy(blank)) ? by + l : l));
    return (first !== undefined && truthy(first) ? by : '') + [lines[0] ?? '', ...rest].join('\n');
  }),
  int: f('default? base?', (v, [d, base]) => toInt(defined(v), intOf(base ?? 10n, 'int')) ?? given(d, 0n)),
  items: f('', (v) => {
    if (!(v instanceof Dict || v instanceof Undefined)) throw new JinjaError(`items of a ${typeName(v)}`);
    return new Lazy(v instanceof Dict ? new View('items', v).items : []);
  }),
  join: f('d? attribute?', (v, [d, attribute]) => {
    const by = d === undefined ? '' : softText(d);
    const parts = iterate(v).map((e) =>
      softText(attribute === undefined || attribute === null ? e : attributePath(e, attribute)),
    );
    spend(parts.reduce((n, p) => n + p.length + by.length, 0));
    return parts.join(by);
  }),
  last: f('', (v) => {
    if (v instanceof Lazy) throw new JinjaError('a generator has no last; take it through the list filter');
    return given(iterate(v).at(-1), new Undefined('the last of nothing'));
  }),
  length: f('', lengthOf),
  list: f('', (v) => [...iterate(v)]),
  lower: f('', (v) => softText(v).toLowerCase()),
  map: f('*', (v, all, kwargs) => {
    const [name, ...rest] = all as Value[];
    const [attribute, fallback] = [kwargs.get('attribute'), kwargs.get('default')];
    if (name !== undefined) return new Lazy(iterate(v).map((e) => runFilter(stringOf(name, 'map'), e, rest, kwargs)));
    if (attribute === undefined || kwargs.size > (fallback === undefined ? 1 : 2))
      throw new JinjaError('map takes a filter, or attribute=');
    return new Lazy(
      iterate(v).map((e) => {
        const found = attributePath(e, attribute);
        return found instanceof Undefined ? given(fallback, found) : found;
      }),
    );
  }),
  max: extreme(-1),
  min: extreme(1),
  reject: choose(false, false),
  rejectattr: choose(true, false),
  replace: f('old new count?', (v, [a, b, count]) =>
    replaceText(
      softText(v),
      softText(a!),
      softText(b!),
      count === undefined || count === null ? -1 : intOf(count, 'replace'),
    ),
  ),
  reverse: f('', (v) => (typeof v === 'string' ? chars(v).reverse().join('') : new Lazy([...iterate(v)].reverse()))),
  round: f('precision? method?', (v, [precision, method]) => {
    if (!numeric(v)) throw new JinjaError(`round of a ${typeName(v)}`);
    const digits = intOf(precision ?? 0n, 'round');
    if (digits < 0) throw new JinjaError('round to a negative precision is not supported here');
    if (method === 'ceil' || method === 'floor') return Math[method](Number(v) * 10 ** digits) / 10 ** digits;
    if (method !== undefined && method !== 'common') throw new JinjaError('round is "common", "ceil" or "floor"');
    return typeof v === 'number' ? Number(fixed(v, digits)) : number(v);
  }),
  safe: f('', (v) => (v instanceof Markup ? v : new Markup(textOf(v)))),
  select: choose(false, true),
  selectattr: choose(true, true),
  sort: f('reverse? case_sensitive? attribute?', (v, [reverse, sensitive, attribute]) => {
    const names = typeof attribute === 'string' && attribute.includes(',') ? attribute.split(',') : undefined;
    const by = names ? (e: Value) => names.map((n) => key(n, sensitive)(e)) : key(attribute, sensitive);
    return sorted(iterate(v), by, reverse);
  }),
  string: f('', (v) => (v instanceof Markup ? v : textOf(v))),
  sum: f('attribute? start?', (v, [attribute, start]) => {
    const parts = iterate(v).map((e) =>
      attribute === undefined || attribute === null ? e : attributePath(e, attribute),
    );
    let total: bigint | number = 0n;
    for (const p of [start ?? 0n, ...parts]) {
      if (!numeric(p)) throw new JinjaError(`sum of a ${typeName(p)} is not supported here`);
      const n = number(p);
      if (typeof n === 'number' && parts.length > 1) throw new JinjaError('sum of floats is not supported here');
      total = typeof n === 'bigint' && typeof total === 'bigint' ? total + n : Number(total) + Number(n);
    }
    return total;
  }),
  title: f('', (v) =>
    softText(v)
      .split(/([-\s({[<]+)/u)
      .map(upperFirst)
      .join(''),
  ),
  tojson: f('ensure_ascii? indent? separators? sort_keys?', (v, [ascii, indent, separators, sort]) =>
    json(v, {
      ascii: truthy(ascii ?? false),
      indent: indent ?? null,
      separators: separators ?? null,
      sort: truthy(sort ?? false),
    }),
  ),
  trim: f('chars?', (v, [c]) => strip(softText(v), c, true, true)),
  unique: f('case_sensitive? attribute?', (v, [sensitive, attribute]) => {
    const by = key(attribute, sensitive);
    const seen = new Dict();
    const items = iterate(v).filter((e) => {
      const known = seen.has(by(e));
      seen.set(by(e), true);
      return !known;
    });
    return new Lazy(items);
  }),
  upper: f('', (v) => softText(v).toUpperCase()),
  wordcount: f('', (v) => BigInt(softText(v).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)),
};
filters.d = filters.default!;
filters.e = filters.escape!;
filters.count = filters.length!;

const t = (params: string, run: (v: Value, args: Value[]) => boolean) =>
  f(params, (v, args) => run(v, args as Value[]));
const integer = (v: Value) => {
  if (!numeric(v) || typeof v === 'number') throw new JinjaError(`a ${typeName(v)} is not odd or even`);
  return BigInt(v);
};
const order = (holds: (c: number) => boolean) => t('other', (a, [b]) => holds(compare(defined(a), b!)));
const same = t('other', (a, [b]) => equal(a, b!));
const [gt, ge, lt, le] = [order((c) => c > 0), order((c) => c >= 0), order((c) => c < 0), order((c) => c <= 0)];
const differs = t('other', (a, [b]) => !equal(a, b!));
const sized = (v: Value) =>
  typeof v === 'string' ||
  Array.isArray(v) ||
  v instanceof Tuple ||
  v instanceof Dict ||
  v instanceof Range ||
  v instanceof Undefined ||
  v instanceof Markup;
const tests: Record<string, Builtin> = {
  odd: t('', (v) => integer(v) % 2n !== 0n),
  even: t('', (v) => integer(v) % 2n === 0n),
  divisibleby: t('num', (v, [n]) => {
    if (integer(n!) === 0n) throw new JinjaError('divisibleby 0');
    return integer(v) % integer(n!) === 0n;
  }),
  defined: t('', (v) => !(v instanceof Undefined)),
  undefined: t('', (v) => v instanceof Undefined),
  none: t('', (v) => v === null),
  boolean: t('', (v) => typeof v === 'boolean'),
  true: t('', (v) => v === true),
  false: t('', (v) => v === false),
  integer: t('', (v) => typeof v === 'bigint'),
  float: t('', (v) => typeof v === 'number'),
  number: t('', (v) => numeric(v)),
  string: t('', (v) => typeof v === 'string' || v instanceof Markup),
  mapping: t('', (v) => v instanceof Dict),
  sequence: t('', sized),
  iterable: t('', (v) => sized(v) || v instanceof View || v instanceof Lazy),
  callable: t('', (v) => v instanceof Func || v instanceof Undefined),
  lower: t('', (v) => /\p{Ll}/u.test(softText(v)) && !/[\p{Lu}\p{Lt}]/u.test(softText(v))),
  upper: t('', (v) => /\p{Lu}/u.test(softText(v)) && !/[\p{Ll}\p{Lt}]/u.test(softText(v))),
  sameas: t('other', (a, [b]) => {
    if (typeof a === 'object' || typeof a === 'boolean' || typeof a !== typeof b) return a === b;
    throw new JinjaError(`sameas of a ${typeName(a)} is not supported here`);
  }),
  in: t('seq', (a, [b]) => contains(b!, a)),
  filter: t('', (v) => Object.hasOwn(filters, stringOf(v, 'filter'))),
  test: t('', (v) => Object.hasOwn(tests, stringOf(v, 'test'))),
  ...{ eq: same, equalto: same, '==': same, ne: differs, '!=': differs, gt, greaterthan: gt, '>': gt, ge, '>=': ge },
  ...{ lt, lessthan: lt, '<': lt, le, '<=': le },
};

function run(
  kind: string,
  table: Record<string, Builtin>,
  name: string,
  value: Value,
  args: Value[],
  kwargs: Kwargs,
): Value {
  if (!Object.hasOwn(table, name)) throw new JinjaError(`the ${kind} "${name}" is unknown or not supported here`);
  return callBuiltin(`the ${kind} "${name}"`, table[name]!, value, args, kwargs);
}
export const runFilter = (name: string, v: Value, args: Value[], kwargs: Kwargs) =>
  run('filter', filters, name, v, args, kwargs);
export const runTest = (name: string, v: Value, args: Value[], kwargs: Kwargs) =>
  run('test', tests, name, v, args, kwargs);
