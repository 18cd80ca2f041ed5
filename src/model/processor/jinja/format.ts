import {
  chars,
  Dict,
  floatText,
  iterate,
  JinjaError,
  numeric,
  repr,
  spend,
  Tuple,
  textOf,
  truthy,
  typeName,
  type Value,
} from './values.ts';

/** A float with so many digits after the point, ties to even, as Python rounds. */
export function fixed(x: number, digits: number): string {
  if (!Number.isFinite(x)) return floatText(x);
  if (digits > 30 || Math.abs(x) >= 1e21) throw new JinjaError('a float with so many digits is not supported here');
  const text = x.toFixed(digits);
  const [whole, rest] = x.toFixed(digits + 60).split('.') as [string, string];
  if (!/^50*$/.test(rest.slice(digits))) return text === '0' && Object.is(x, -0) ? '-0' : text;
  const down = BigInt((whole + rest.slice(0, digits)).replace('-', ''));
  const even = String(down % 2n === 0n ? down : down + 1n).padStart(digits + 1, '0');
  const cut = even.length - digits;
  return (x < 0 ? '-' : '') + (digits ? `${even.slice(0, cut)}.${even.slice(cut)}` : even);
}

/** `'%s' % x` of Python. */
export function percent(format: string, given: Value): string {
  const list = given instanceof Tuple ? given.items : [given];
  let used = 0;
  const named = /%\(/.test(format);
  const take = () => {
    const v = list[used++];
    if (v === undefined) throw new JinjaError('not enough arguments for %');
    return v;
  };
  const text = format.replace(
    /%(?:\(([^)]*)\))?([-+ 0#]*)(\*|\d+)?(?:\.(\d+))?([\s\S])?/g,
    (all, key, flags: string, width, precision, kind) => {
      if (kind === '%') return '%';
      if (width === '*' || flags.includes('#') || !kind)
        throw new JinjaError(`the format ${all} is not supported here`);
      let v: Value | undefined;
      if (key !== undefined) {
        v = given instanceof Dict ? given.get(key) : undefined;
        if (v === undefined) throw new JinjaError(`% finds no "${key}"`);
      } else v = take();
      const digits = precision === undefined ? undefined : Number(precision);
      let out: string;
      let isNumber = true;
      if (kind === 's' || kind === 'r') {
        isNumber = false;
        out = kind === 's' ? textOf(v) : repr(v);
        if (digits !== undefined) out = chars(out).slice(0, digits).join('');
      } else if (!numeric(v)) throw new JinjaError(`% takes a number for ${all}, not ${typeName(v)}`);
      else if (/[diu]/.test(kind) && digits === undefined)
        out = String(typeof v === 'bigint' ? v : BigInt(Math.trunc(Number(v))));
      else if (/[xX]/.test(kind) && digits === undefined && typeof v === 'bigint') {
        out = v.toString(16);
        if (kind === 'X') out = out.toUpperCase();
      } else if (/[fF]/.test(kind)) out = fixed(Number(v), digits ?? 6);
      else throw new JinjaError(`the format ${all} is not supported here`);
      if (isNumber && !out.startsWith('-')) out = (flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '') + out;
      const size = Number(width ?? 0);
      spend(size);
      const missing = Math.max(0, size - chars(out).length);
      if (flags.includes('-')) return out + ' '.repeat(missing);
      if (!flags.includes('0') || !isNumber) return ' '.repeat(missing) + out;
      const sign = /^[-+ ]/.exec(out)?.[0] ?? '';
      return sign + '0'.repeat(missing) + out.slice(sign.length);
    },
  );
  if (!named && used < list.length && !(given instanceof Dict || (Array.isArray(given) && used === 0)))
    throw new JinjaError('not all arguments are used by %');
  spend(text.length);
  return text;
}

/** `str.format` of Python: {}, {0} and {name}, without a format of their own. */
export function format(text: string, args: Value[], kwargs: ReadonlyMap<string, Value>): string {
  let place = 0;
  let numbered = false;
  return text.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (all, field: string | undefined) => {
    if (all === '{{' || all === '}}') return all[0]!;
    if (field === undefined || !/^(\d+|[A-Za-z_]\w*)?$/.test(field))
      throw new JinjaError(`str.format of "${all}" is not supported here`);
    if (/^\d/.test(field)) numbered = true;
    const v = field === '' ? args[place++] : /^\d/.test(field) ? args[Number(field)] : kwargs.get(field);
    if (v === undefined) throw new JinjaError(`str.format finds nothing for "${all}"`);
    if (numbered && place > 0) throw new JinjaError('str.format takes {} or numbers, not both');
    const out = textOf(v);
    spend(out.length);
    return out;
  });
}

/** json.dumps of Python, with the settings that transformers' tojson passes on. */
export function json(
  value: Value,
  { ascii = false, indent = null as Value, separators = null as Value, sort = false },
): string {
  const pad =
    indent === null ? undefined : typeof indent === 'string' ? indent : ' '.repeat(Math.max(0, padding(indent)));
  const pair = separators === null ? [pad === undefined ? ', ' : ',', ': '] : iterate(separators);
  const [comma, colon] = pair;
  if (pair.length !== 2 || typeof comma !== 'string' || typeof colon !== 'string')
    throw new JinjaError('tojson: separators takes two strings');
  const string = (s: string) => {
    const text = JSON.stringify(s);
    return ascii ? text.replace(/[\x7f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`) : text;
  };
  const scalar = (v: Value): string | undefined => {
    if (v === null) return 'null';
    if (typeof v === 'boolean' || typeof v === 'bigint') return String(v);
    if (typeof v === 'number')
      return Number.isFinite(v) ? floatText(v) : Number.isNaN(v) ? 'NaN' : v > 0 ? 'Infinity' : '-Infinity';
    return undefined;
  };
  const all = (open: string, parts: string[], close: string, line: string): string => {
    if (parts.length === 0) return open + close;
    const text =
      pad === undefined
        ? open + parts.join(comma) + close
        : open + line + pad + parts.join(comma + line + pad) + line + close;
    spend(text.length);
    return text;
  };
  const write = (v: Value, line: string): string => {
    if (typeof v === 'string') return string(v);
    const text = scalar(v);
    if (text !== undefined) return text;
    const deeper = line + (pad ?? '');
    if (Array.isArray(v))
      return all(
        '[',
        v.map((e) => write(e, deeper)),
        ']',
        line,
      );
    if (v instanceof Tuple)
      return all(
        '[',
        v.items.map((e) => write(e, deeper)),
        ']',
        line,
      );
    if (!(v instanceof Dict)) throw new JinjaError(`tojson: a ${typeName(v)} is not JSON`);
    const entries = v.entries().map(([k, e]) => {
      const key = typeof k === 'string' ? k : scalar(k);
      if (key === undefined) throw new JinjaError(`tojson: a ${typeName(k)} is no key of JSON`);
      return [key, e, k] as const;
    });
    if (sort) {
      if (entries.some(([, , k]) => typeof k !== 'string'))
        throw new JinjaError('tojson: sort_keys of keys that are not strings is not supported here');
      entries.sort(([a], [b]) => byCodePoint(a, b));
    }
    return all(
      '{',
      entries.map(([k, e]) => string(k) + colon + write(e, deeper)),
      '}',
      line,
    );
  };
  return write(value, '\n');
}

const byCodePoint = (a: string, b: string) => {
  const [x, y] = [chars(a), chars(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++)
    if (x[i] !== y[i]) return x[i]!.codePointAt(0)! - y[i]!.codePointAt(0)!;
  return x.length - y.length;
};

function padding(indent: Value): number {
  if (!numeric(indent) || typeof indent === 'number')
    throw new JinjaError(`tojson: indent takes an int, not ${typeName(indent)}`);
  const count = Number(indent === false || !truthy(indent) ? 0 : indent);
  spend(Math.max(0, count));
  return count;
}

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = 'January February March April May June July August September October November December'.split(' ');

/** strftime of now, in English. */
export function strftimeNow(pattern: string, now = new Date()): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const hour = now.getHours() % 12 || 12;
  const day = Math.round(
    (Date.UTC(now.getFullYear(), now.getMonth(), now.getDate()) - Date.UTC(now.getFullYear(), 0, 0)) / 86_400_000,
  );
  const parts: Record<string, string> = {
    Y: String(now.getFullYear()),
    y: two(now.getFullYear() % 100),
    m: two(now.getMonth() + 1),
    d: two(now.getDate()),
    H: two(now.getHours()),
    I: two(hour),
    M: two(now.getMinutes()),
    S: two(now.getSeconds()),
    p: now.getHours() < 12 ? 'AM' : 'PM',
    B: months[now.getMonth()]!,
    b: months[now.getMonth()]!.slice(0, 3),
    A: days[now.getDay()]!,
    a: days[now.getDay()]!.slice(0, 3),
    j: String(day).padStart(3, '0'),
    '%': '%',
    e: String(now.getDate()).padStart(2),
    '-d': String(now.getDate()),
    '-m': String(now.getMonth() + 1),
    '-H': String(now.getHours()),
    '-I': String(hour),
    w: String(now.getDay()),
  };
  parts.F = `${parts.Y}-${parts.m}-${parts.d}`;
  parts.T = `${parts.H}:${parts.M}:${parts.S}`;
  return pattern.replace(/%(-?[\s\S])?/g, (all, key: string) => {
    const part = parts[key];
    if (part === undefined) throw new JinjaError(`strftime_now: ${all} is not supported here`);
    return part;
  });
}
