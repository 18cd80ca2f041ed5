import { callBuiltin, defined } from './arguments.ts';
import { percent } from './format.ts';
import { dictMethods, listMethods, refused, strMethods } from './methods.ts';
import {
  Attributes,
  chars,
  Dict,
  equal,
  Func,
  given,
  iterate,
  JinjaError,
  Lazy,
  Markup,
  number,
  numeric,
  Range,
  spend,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts';

/** `a.b`: what Python's value has of this name, then what it holds under it. */
export function attribute(of: Value, name: string): Value {
  const own = method(defined(of), name);
  return given(own === undefined ? held(of, name) : own, new Undefined(`"${name}" of a ${typeName(of)}`));
}

/** `a[b]`: the other way round. */
export function item(of: Value, key: Value): Value {
  const found = held(defined(of), key);
  const own = found === undefined && typeof key === 'string' ? method(of, key) : found;
  return given(own, new Undefined(`an item of a ${typeName(of)}`));
}

/** 'a.b' or 0, as filters take attributes. */
export function attributePath(of: Value, path: Value): Value {
  const parts = typeof path === 'string' ? path.split('.').map((p) => (/^\d+$/.test(p) ? BigInt(p) : p)) : [path];
  return parts.reduce<Value>((v, part) => item(v, part), of);
}

function method(of: Value, name: string): Value | undefined {
  const type = typeName(of);
  if (of instanceof Attributes) {
    const found = of.values.get(name);
    return found === undefined && of.kind === 'loop' ? unknownOf(type, name) : found;
  }
  const table =
    type === 'str'
      ? strMethods
      : type === 'dict'
        ? dictMethods
        : type === 'list' || type === 'tuple'
          ? listMethods
          : {};
  if (Object.hasOwn(table, name) && !(type === 'tuple' && name === 'copy'))
    return new Func(name, (args, kwargs) => callBuiltin(`${type}.${name}()`, table[name]!, of, args, kwargs));
  if (refused[type]?.has(name) || of instanceof Markup || of instanceof Func) return unknownOf(type, name);
  return undefined;
}
function unknownOf(type: string, name: string): never {
  throw new JinjaError(`"${name}" of a ${type} is not allowed, or not supported here`);
}

function held(of: Value, key: Value): Value | undefined {
  if (of instanceof Dict) return of.get(key);
  if (of instanceof Attributes && of.kind === 'namespace' && typeof key === 'string') return of.values.get(key);
  const index = typeof key === 'boolean' ? Number(key) : typeof key === 'bigint' ? Number(key) : undefined;
  if (index === undefined) return undefined;
  if (typeof of === 'string') return chars(of).at(index);
  if (Array.isArray(of)) return of.at(index);
  return of instanceof Tuple || of instanceof Range ? of.items.at(index) : undefined;
}

export function slice(of: Value, bounds: readonly (Value | undefined)[]): Value {
  const [start, stop, step] = bounds.map((b) => {
    if (b === undefined || b === null) return undefined;
    if (typeof b !== 'bigint' && typeof b !== 'boolean') throw new JinjaError(`a slice takes ints, not ${typeName(b)}`);
    return Number(b);
  });
  if (defined(of) instanceof Range) throw new JinjaError('a slice of a range is not supported here');
  if (!(typeof of === 'string' || Array.isArray(of) || of instanceof Tuple))
    return new Undefined(`a slice of a ${typeName(of)}`);
  const items = iterate(of);
  const by = step ?? 1;
  if (by === 0) throw new JinjaError('a slice by step 0');
  const [low, high] = by > 0 ? [0, items.length] : [-1, items.length - 1];
  const clip = (n: number | undefined, d: number) =>
    n === undefined ? d : Math.max(low, Math.min(high, n < 0 ? n + items.length : n));
  const [from, to] = [clip(start, by > 0 ? low : high), clip(stop, by > 0 ? high : low)];
  const out: Value[] = [];
  for (let i = from; by > 0 ? i < to : i > to; i += by) out.push(items[i]!);
  spend(out.length);
  return typeof of === 'string' ? out.join('') : Array.isArray(of) ? out : new Tuple(out);
}

export function contains(holder: Value, v: Value): boolean {
  if (typeof holder === 'string') {
    if (typeof v !== 'string') throw new JinjaError(`"in" of a str takes a str, not ${typeName(v)}`);
    return holder.includes(v);
  }
  if (holder instanceof Dict) return holder.has(v);
  if (holder instanceof Lazy) {
    while (holder.rest.length) if (equal(holder.rest.shift()!, v)) return true;
    return false;
  }
  if (holder instanceof View && holder.kind === 'keys') return holder.dict.has(v);
  return iterate(holder).some((e) => equal(e, v));
}

export function negate(op: '-' | '+', v: Value): Value {
  if (!numeric(defined(v))) throw new JinjaError(`"${op}" of a ${typeName(v)}`);
  const n = number(v as bigint | number | boolean);
  return op === '-' ? -n : n;
}

export function binary(op: string, a: Value, b: Value): Value {
  defined(a);
  if (op === '%' && typeof a === 'string') return percent(a, b);
  defined(b);
  if (numeric(a) && numeric(b)) return arithmetic(op, number(a), number(b));
  if (op === '+') {
    if (typeof a === 'string' && typeof b === 'string') {
      spend(a.length + b.length);
      return a + b;
    }
    const [x, y] = [a instanceof Tuple ? a.items : a, b instanceof Tuple ? b.items : b];
    if (Array.isArray(x) && Array.isArray(y) && Array.isArray(a) === Array.isArray(b)) {
      spend(x.length + y.length);
      return Array.isArray(a) ? [...x, ...y] : new Tuple([...x, ...y]);
    }
  }
  if (op === '*') {
    const [of, times] = numeric(a) ? [b, a] : [a, b];
    if (typeof times === 'bigint' || typeof times === 'boolean') {
      const count = Math.max(0, Number(times));
      const items = typeof of === 'string' || Array.isArray(of) ? of : of instanceof Tuple ? of.items : undefined;
      if (items !== undefined) {
        spend(items.length * count);
        if (typeof items === 'string') return items.length ? items.repeat(count) : '';
        const all: Value[] = items.length ? Array.from({ length: count }, () => items).flat() : [];
        return Array.isArray(of) ? all : new Tuple(all);
      }
    }
  }
  throw new JinjaError(`"${op}" of a ${typeName(a)} and a ${typeName(b)}`);
}

function arithmetic(op: string, a: bigint | number, b: bigint | number): Value {
  if (['/', '//', '%'].includes(op) && Number(b) === 0) throw new JinjaError('division by zero');
  if (op === '/') return Number(a) / Number(b);
  if (typeof a === 'bigint' && typeof b === 'bigint') {
    if (op === '+') return a + b;
    if (op === '-') return a - b;
    if (op === '*') return bounded(a * b);
    const rest = a % b;
    const floored = rest !== 0n && rest < 0n !== b < 0n;
    if (op === '%') return floored ? rest + b : rest;
    if (op === '//') return floored ? a / b - 1n : a / b;
  }
  const [x, y] = [Number(a), Number(b)];
  if (op === '+') return x + y;
  if (op === '-') return x - y;
  if (op === '*') return x * y;
  const rest = x % y;
  const mod = rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest === 0 ? (y < 0 || Object.is(y, -0) ? -0 : 0) : rest;
  if (op === '%') return mod;
  if (op === '//') return Math.round((x - mod) / y);
  throw new JinjaError(`"${op}" is not supported here`);
}

export function power(a: Value, b: Value): Value {
  if (!numeric(defined(a)) || !numeric(defined(b)))
    throw new JinjaError(`"**" of a ${typeName(a)} and a ${typeName(b)}`);
  const [x, y] = [number(a as bigint), number(b as bigint)];
  if (typeof x !== 'bigint' || typeof y !== 'bigint' || y < 0n) {
    const out = Number(x) ** Number(y);
    if (!Number.isFinite(out)) throw new JinjaError('"**" has no finite result');
    return out;
  }
  if (y > 10_000n) throw new JinjaError('"**" by so large an int');
  return bounded(x ** y);
}
function bounded(n: bigint): bigint {
  if (n > 2n ** 10_000n || n < -(2n ** 10_000n)) throw new JinjaError('an int of more than 10000 bits');
  return n;
}
