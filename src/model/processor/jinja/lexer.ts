import { JinjaError } from './values.ts';

export interface Token {
  readonly type: 'data' | 'name' | 'string' | 'int' | 'float' | 'op' | 'begin' | 'end';
  readonly text: string;
  readonly line: number;
}

const sp = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const blank = new RegExp(`${sp}*`, 'uy');
const trailing = new RegExp(`(?<!${sp})${sp}+$`, 'u');
const rawBegin = new RegExp(`\\{%[-+]?${sp}*raw${sp}*(-?)%\\}`, 'uy');
const rawEnd = new RegExp(`\\{%([-+]?)${sp}*endraw${sp}*([-+]?)%\\}`, 'ug');
const name = /[\p{L}_][\p{L}\p{M}\p{N}_]*/uy;
const float = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const int = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const string = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;
const operator = /\/\/|\*\*|==|!=|>=|<=|[-+*/%~[\](){}><=.:|,;]/y;

const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v', '\n': '' };
const unescaped = (text: string) =>
  text.replace(/\\(x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|[\s\S])/g, (all, e: string) => {
    if (/^[0-7]/.test(e)) return String.fromCodePoint(Number.parseInt(e, 8));
    if (/^[xuU]./.test(e)) {
      const code = Number.parseInt(e.slice(1), 16);
      if (code > 0x10ffff) throw new JinjaError(`${all} is no character`);
      return String.fromCodePoint(code);
    }
    if (/^[xuUN]/.test(e)) throw new JinjaError(`the escape \\${e} in a string is not whole, or not supported`);
    return escapes[e] ?? (/['"\\]/.test(e) ? e : all);
  });

/** Cuts a template as Jinja does with trim_blocks and lstrip_blocks, which transformers sets. */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let counted = 0;
  let lineStarts = true;
  const push = (type: Token['type'], text: string) => {
    for (; counted < at; counted++) if (source[counted] === '\n') line++;
    tokens.push({ type, text, line });
  };
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  const skipBlank = () => {
    at += match(blank)![0].length;
  };
  const closed = (from: number, sign: string | undefined, trims: boolean) => {
    if (sign === '-') skipBlank();
    else if (trims && sign !== '+' && source[at] === '\n') at++;
    lineStarts = source.slice(from, at).endsWith('\n');
  };
  /** The text before a tag: `-` strips all white space, a block strips its line's start. */
  const data = (text: string, sign: string | undefined, block: boolean) => {
    const start = text.lastIndexOf('\n') + 1;
    let kept = text;
    if (sign === '-') kept = text.replace(trailing, '');
    else if (sign !== '+' && block && (start > 0 || lineStarts) && text.slice(start).replace(trailing, '') === '')
      kept = text.slice(0, start);
    if (kept) push('data', kept);
  };
  const opening = /\{[{%#]/g;
  while (at < source.length) {
    opening.lastIndex = at;
    const found = opening.exec(source);
    if (!found) {
      push('data', source.slice(at));
      break;
    }
    const before = source.slice(at, found.index);
    at = found.index;
    const kind = source[at + 1]!;
    const sign = /[-+]/.test(source[at + 2] ?? '') ? source[at + 2] : undefined;
    data(before, sign, kind !== '{');
    if (kind === '#') {
      const end = source.indexOf('#}', at + 2);
      if (end < 0) throw new JinjaError('a comment {# does not end');
      const from = at;
      at = end + 2;
      closed(from, /[-+]/.test(source[end - 1]!) && end - 1 > from + 1 ? source[end - 1] : undefined, true);
      continue;
    }
    const raw = kind === '%' ? match(rawBegin) : null;
    if (raw) {
      const from = at;
      at += raw[0].length;
      closed(from, raw[1], false);
      rawEnd.lastIndex = at;
      const end = rawEnd.exec(source);
      if (!end) throw new JinjaError('a block {% raw %} does not end');
      data(source.slice(at, end.index), end[1], true);
      at = end.index + end[0].length;
      closed(end.index, end[2], true);
      continue;
    }
    at += sign ? 3 : 2;
    push('begin', kind === '%' ? '{%' : '{{');
    expression(kind === '%' ? '%}' : '}}');
  }
  return tokens;

  function expression(end: string) {
    const open: string[] = [];
    for (;;) {
      skipBlank();
      if (at >= source.length) throw new JinjaError(`a tag does not end: ${end} is missing`);
      if (open.length === 0) {
        const sign = source.startsWith(end, at + 1) && /[-+]/.test(source[at]!) ? source[at]! : '';
        if ((sign !== '+' || end === '%}') && source.startsWith(sign + end, at)) {
          const from = at;
          at += sign.length + 2;
          push('end', end);
          closed(from, sign, end === '%}');
          return;
        }
      }
      const found =
        token('name', name) ??
        token('float', float) ??
        token('int', int) ??
        token('string', string) ??
        token('op', operator);
      if (found === undefined) {
        push('op', '');
        throw new JinjaError(`line ${line}: unexpected ${JSON.stringify(source[at])}`);
      }
      if (/^[[({]$/.test(found)) open.push({ '[': ']', '(': ')', '{': '}' }[found]!);
      else if (/^[\])}]$/.test(found) && open.pop() !== found)
        throw new JinjaError(`line ${line}: unexpected "${found}"`);
    }
  }
  function token(type: Token['type'], pattern: RegExp): string | undefined {
    if (type === 'float' && source[at - 1] === '.') return undefined;
    const text = match(pattern)?.[0];
    if (text === undefined) return undefined;
    at += text.length;
    push(type, type === 'string' ? unescaped(text.slice(1, -1)) : text);
    return type === 'op' ? text : '';
  }
}
