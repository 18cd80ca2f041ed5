// Python's values as a template sees them. An int is a bigint, a float a number, a list an array; the rest are classes below.

import { HeadlightError } from '../../../base/error.ts';

/** What a template does wrong, or what is not supported here; one line. */
export class JinjaError extends HeadlightError {
  override name = 'JinjaError';
  readonly code = 'template';
}

export type Value =
  | string
  | bigint
  | number
  | boolean
  | null
  | Value[]
  | Tuple
  | Dict
  | View
  | Range
  | Lazy
  | Undefined
  | Func
  | Attributes
  | Markup;

export class Tuple {
  readonly items: Value[];
  constructor(items: Value[]) {
    this.items = items;
  }
}

/** Keys keep their order; 1, 1.0 and True are one key, as in Python. */
export class Dict {
  readonly #entries = new Map<string, [Value, Value]>();
  constructor(entries: Iterable<[Value, Value]> = []) {
    for (const [k, v] of entries) this.set(k, v);
  }
  set(key: Value, value: Value) {
    const hash = hashOf(key);
    this.#entries.set(hash, [this.#entries.get(hash)?.[0] ?? key, value]);
  }
  get = (key: Value): Value | undefined => this.#entries.get(hashOf(key))?.[1];
  has = (key: Value) => this.#entries.has(hashOf(key));
  get size() {
    return this.#entries.size;
  }
  entries = (): [Value, Value][] => [...this.#entries.values()];
}

export class View {
  readonly kind: 'keys' | 'values' | 'items';
  readonly dict: Dict;
  constructor(kind: 'keys' | 'values' | 'items', dict: Dict) {
    this.kind = kind;
    this.dict = dict;
  }
  get items(): Value[] {
    return this.dict
      .entries()
      .map(([k, v]) => (this.kind === 'keys' ? k : this.kind === 'values' ? v : new Tuple([k, v])));
  }
}

export class Range {
  readonly items: Value[] = [];
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  constructor(start: bigint, stop: bigint, step: bigint) {
    this.start = start;
    this.stop = stop;
    this.step = step;
    if (step === 0n) throw new JinjaError('range() arg 3 must not be zero');
    const size = step > 0n ? (stop - start + step - 1n) / step : (start - stop - step - 1n) / -step;
    if (size > maxRange) throw new JinjaError(`range() of ${size} numbers; at most ${maxRange} are allowed`);
    spend(Math.max(0, Number(size)));
    for (let i = start; step > 0n ? i < stop : i > stop; i += step) this.items.push(i);
  }
}

/** Python's generator: what is taken from it is gone, and it has no length and no text. */
export class Lazy {
  readonly rest: Value[];
  constructor(rest: Value[]) {
    this.rest = rest;
  }
}

/** Prints as nothing and holds nothing; whatever else is done with it is an error. */
export class Undefined {
  readonly what: string;
  constructor(what: string) {
    this.what = what;
  }
}

export type Kwargs = ReadonlyMap<string, Value>;

export class Func {
  readonly name: string;
  readonly call: (args: Value[], kwargs: Kwargs) => Value;
  constructor(name: string, call: (args: Value[], kwargs: Kwargs) => Value) {
    this.name = name;
    this.call = call;
  }
}

/** A namespace(), or the `loop` of a for. */
export class Attributes {
  readonly kind: 'namespace' | 'loop';
  readonly values: Map<string, Value>;
  constructor(kind: 'namespace' | 'loop', values: Map<string, Value>) {
    this.kind = kind;
    this.values = values;
  }
}

/** Escaped text: it may be printed and joined by `~`, nothing else. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** As Jinja's sandbox has it. */
const maxRange = 100_000n;
/** Of a prompt, in characters. */
export const maxOutput = 10_000_000;
/** Characters and items made in all while a template is rendered. */
const maxMade = 250_000_000;
let made = 0;

/** Starts a rendering's count of what it makes. Rendering is synchronous: there is one at a time. */
export const startBudget = () => {
  made = 0;
};

/** Counts characters or items before they are made. @throws JinjaError where they are too many. */
export function spend(count: number): void {
  made += count;
  if (count > maxOutput)
    throw new JinjaError(`a value of ${count} characters or items; at most ${maxOutput} are allowed`);
  if (made > maxMade) throw new JinjaError(`more than ${maxMade} characters or items are made in all`);
}

export function typeName(v: Value): string {
  if (typeof v === 'string') return 'str';
  if (typeof v === 'bigint') return 'int';
  if (typeof v === 'number') return 'float';
  if (typeof v === 'boolean') return 'bool';
  if (v === null) return 'None';
  if (Array.isArray(v)) return 'list';
  if (v instanceof View) return `dict_${v.kind}`;
  if (v instanceof Lazy) return 'generator';
  if (v instanceof Attributes) return v.kind;
  if (v instanceof Func) return 'function';
  if (v instanceof Undefined) return `undefined (${v.what})`;
  return v instanceof Tuple ? 'tuple' : v instanceof Dict ? 'dict' : v instanceof Range ? 'range' : 'Markup';
}

function hashOf(key: Value): string {
  if (typeof key === 'string') return `s${key}`;
  if (typeof key === 'boolean') return `n${Number(key)}`;
  if (typeof key === 'bigint' || typeof key === 'number') return `n${key}`;
  if (key === null) return 'None';
  if (key instanceof Tuple) return `t${JSON.stringify(key.items.map(hashOf))}`;
  throw new JinjaError(`a ${typeName(key)} cannot be a dict's key`);
}

/** Python counts code points. */
export const chars = (text: string): string[] => Array.from(text);
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python's white space
export const space = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/u;

export function truthy(v: Value): boolean {
  if (v instanceof Undefined) return false;
  if (v instanceof Dict) return v.size > 0;
  if (v instanceof View) return v.dict.size > 0;
  if (Array.isArray(v)) return v.length > 0;
  if (v instanceof Tuple || v instanceof Range) return v.items.length > 0;
  if (v instanceof Markup) return v.text !== '';
  return typeof v === 'object' && v !== null ? true : Boolean(v);
}

/** `??` for values: None is one. */
export const given = (v: Value | undefined, fallback: Value): Value => (v === undefined ? fallback : v);

/** All that a for loop takes from a value. */
export function iterate(v: Value): Value[] {
  if (typeof v === 'string') return chars(v);
  if (Array.isArray(v)) return v;
  if (v instanceof Dict) return v.entries().map(([k]) => k);
  if (v instanceof Lazy) return v.rest.splice(0);
  if (v instanceof Undefined) return [];
  if (v instanceof Tuple || v instanceof View || v instanceof Range) return v.items;
  throw new JinjaError(`a ${typeName(v)} is not iterable`);
}

export function lengthOf(v: Value): bigint {
  if (v instanceof Lazy) throw new JinjaError('a generator has no length; take it through the list filter');
  return BigInt(iterate(v).length);
}

export const numeric = (v: Value): v is bigint | number | boolean =>
  typeof v === 'bigint' || typeof v === 'number' || typeof v === 'boolean';
/** True is 1. */
export const number = (v: bigint | number | boolean): bigint | number => (typeof v === 'boolean' ? BigInt(v) : v);

/** An int and a float of one value are equal. */
const sameNumber = (a: bigint | number, b: bigint | number) =>
  !(a < b) && !(a > b) && !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));

export function equal(a: Value, b: Value): boolean {
  if (numeric(a) && numeric(b)) return sameNumber(number(a), number(b));
  if (a instanceof Undefined) return b instanceof Undefined;
  const all = (x: readonly Value[], y: readonly Value[]) => x.length === y.length && x.every((e, i) => equal(e, y[i]!));
  if (Array.isArray(a)) return Array.isArray(b) && all(a, b);
  if (a instanceof Tuple) return b instanceof Tuple && all(a.items, b.items);
  if (a instanceof Range) return b instanceof Range && all(a.items, b.items);
  if (a instanceof Dict)
    return b instanceof Dict && a.size === b.size && a.entries().every(([k, v]) => b.has(k) && equal(v, b.get(k)!));
  if (a instanceof View || a instanceof Markup) throw new JinjaError(`comparing a ${typeName(a)} is not supported`);
  return a === b;
}

/** Below zero where a comes first. */
export function compare(a: Value, b: Value): number {
  if (numeric(a) && numeric(b)) {
    const [x, y] = [number(a), number(b)];
    return x < y ? -1 : x > y ? 1 : sameNumber(x, y) ? 0 : Number.NaN;
  }
  if (typeof a === 'string' && typeof b === 'string') return compareLists(chars(a), chars(b));
  if (Array.isArray(a) && Array.isArray(b)) return compareLists(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return compareLists(a.items, b.items);
  throw new JinjaError(`a ${typeName(a)} and a ${typeName(b)} have no order`);
}

function compareLists(a: readonly Value[], b: readonly Value[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (typeof x === 'string' && typeof y === 'string' && chars(x).length < 2 && chars(y).length < 2) {
      const d = (x.codePointAt(0) ?? -1) - (y.codePointAt(0) ?? -1);
      if (d !== 0) return d;
    } else if (!equal(x, y)) return compare(x, y);
  }
  return a.length - b.length;
}

export function floatText(x: number): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'nan' : x > 0 ? 'inf' : '-inf';
  if (Object.is(x, -0)) return '-0.0';
  const [digits, exponent] = x.toExponential().split('e') as [string, string];
  const e = Number(exponent);
  if (e < -4 || e >= 16) return `${digits}e${e < 0 ? '-' : '+'}${String(Math.abs(e)).padStart(2, '0')}`;
  if (Number.isInteger(x)) return `${BigInt(x)}.0`;
  const text = String(x);
  return text.includes('e') ? x.toFixed(digits.replace(/\D/g, '').length - 1 - e) : text;
}

const hex = (c: string) => {
  const code = c.codePointAt(0)!;
  const text = code.toString(16);
  return code < 256
    ? `\\x${text.padStart(2, '0')}`
    : code < 65536
      ? `\\u${text.padStart(4, '0')}`
      : `\\U${text.padStart(8, '0')}`;
};

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\', [quote]: `\\${quote}` };
  return quote + text.replace(/[\p{C}\p{Z}\\'"]/gu, (c) => named[c] ?? (/[ '"]/.test(c) ? c : hex(c))) + quote;
}

/** Python's repr(). @throws JinjaError for what it writes with an address in memory. */
export function repr(v: Value): string {
  if (typeof v === 'string') return quoted(v);
  if (Array.isArray(v)) return `[${v.map(repr).join(', ')}]`;
  if (v instanceof Tuple) return `(${v.items.map(repr).join(', ')}${v.items.length === 1 ? ',' : ''})`;
  if (v instanceof Dict)
    return `{${v
      .entries()
      .map(([k, e]) => `${repr(k)}: ${repr(e)}`)
      .join(', ')}}`;
  if (v instanceof View) return `dict_${v.kind}([${v.items.map(repr).join(', ')}])`;
  if (v instanceof Range) return `range(${v.start}, ${v.stop}${v.step === 1n ? '' : `, ${v.step}`})`;
  if (v instanceof Undefined) return 'Undefined';
  if (v instanceof Attributes && v.kind === 'namespace') return `<Namespace ${repr(new Dict(v.values))}>`;
  if (typeof v === 'object' && v !== null) throw new JinjaError(`a ${typeName(v)} has no text of its own`);
  return textOf(v);
}

/** Python's str(). */
export function textOf(v: Value): string {
  if (typeof v === 'string') return v;
  if (typeof v === 'bigint') return String(v);
  if (typeof v === 'number') return floatText(v);
  if (typeof v === 'boolean') return v ? 'True' : 'False';
  if (v === null) return 'None';
  if (v instanceof Undefined) return '';
  if (v instanceof Markup) return v.text;
  const text = repr(v);
  spend(text.length);
  return text;
}

/** A value of JavaScript, as JSON has them. */
export function fromJs(v: unknown): Value {
  if (v === undefined) return new Undefined('a variable');
  if (v === null || typeof v === 'string' || typeof v === 'boolean' || typeof v === 'bigint') return v;
  if (typeof v === 'number') return Number.isInteger(v) ? BigInt(v) : v;
  if (Array.isArray(v)) return v.map(fromJs);
  if (typeof v === 'object')
    return new Dict(Object.entries(v).flatMap(([k, e]) => (e === undefined ? [] : [[k, fromJs(e)] as [Value, Value]])));
  throw new JinjaError(`a ${typeof v} cannot be a template's variable`);
}
