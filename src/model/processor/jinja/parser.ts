import { type Token, tokenize } from './lexer.ts';
import { JinjaError, type Value } from './values.ts';

export interface Arguments {
  readonly args: readonly { readonly spread: boolean; readonly value: Expr }[];
  readonly kwargs: readonly { readonly name?: string; readonly value: Expr }[]; // no name: `**`
}
type Call = Arguments & { readonly name: string };
export type Expr =
  | { readonly kind: 'const'; readonly value: Value }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list' | 'tuple'; readonly items: readonly Expr[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expr, Expr])[] }
  | { readonly kind: 'attribute'; readonly of: Expr; readonly name: string }
  | { readonly kind: 'item'; readonly of: Expr; readonly key: Expr }
  | { readonly kind: 'slice'; readonly of: Expr; readonly bounds: readonly (Expr | undefined)[] }
  | { readonly kind: 'call'; readonly callee: Expr; readonly call: Arguments }
  | { readonly kind: 'filter' | 'test'; readonly of: Expr; readonly call: Call }
  | { readonly kind: 'not' | '-' | '+'; readonly of: Expr }
  | { readonly kind: 'binary'; readonly op: string; readonly left: Expr; readonly right: Expr }
  | { readonly kind: 'compare'; readonly first: Expr; readonly rest: readonly (readonly [string, Expr])[] }
  | { readonly kind: 'if'; readonly test: Expr; readonly value: Expr; readonly otherwise?: Expr };
export type Target =
  | { readonly names: string[]; readonly tuple: boolean }
  | { readonly space: string; readonly attribute: string };
export interface Macro {
  readonly name: string;
  readonly params: readonly { readonly name: string; readonly fallback?: Expr }[];
  readonly body: Body;
  /** Which of caller, varargs and kwargs its body names. */
  readonly uses: ReadonlySet<string>;
}
export type Body = readonly Stmt[];
export type Stmt =
  | { readonly kind: 'data'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expr }
  | { readonly kind: 'if'; readonly branches: readonly (readonly [Expr, Body])[]; readonly otherwise: Body }
  | {
      readonly kind: 'for';
      readonly target: Target;
      readonly of: Expr;
      readonly test?: Expr;
      readonly body: Body;
      readonly otherwise: Body;
    }
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expr }
  | { readonly kind: 'capture'; readonly target?: Target; readonly filters: readonly Call[]; readonly body: Body }
  | { readonly kind: 'macro'; readonly macro: Macro }
  | { readonly kind: 'callblock'; readonly call: Expr & { kind: 'call' }; readonly caller: Macro }
  | { readonly kind: 'with'; readonly sets: readonly (readonly [string, Expr])[]; readonly body: Body }
  | { readonly kind: 'break' | 'continue' };

const constants = new Map<string, Value>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
]);

/** Jinja's grammar, as jinja2/parser.py has it. @throws JinjaError for what is not Jinja, or not supported. */
export function parseTemplate(source: string): Body {
  const tokens = tokenize(source);
  let at = 0;
  let uses = new Set<string>();
  let loops = 0;
  const now = (): Token =>
    tokens[at] ?? { type: 'end', text: 'the end of the template', line: tokens.at(-1)?.line ?? 1 };
  const fail = (what: string): never => {
    throw new JinjaError(`line ${now().line}: ${what}`);
  };
  const isOp = (...texts: string[]) => now().type === 'op' && texts.includes(now().text);
  const isName = (...texts: string[]) => now().type === 'name' && texts.includes(now().text);
  const next = () => tokens[at++] ?? fail('unexpected end of the template');
  const takeOp = (text: string) => isOp(text) && next() !== undefined;
  const takeName = (text: string) => isName(text) && next() !== undefined;
  const expectOp = (text: string) => takeOp(text) || fail(`expected "${text}", found "${now().text}"`);
  const identifier = () => (now().type === 'name' ? next().text : fail(`expected a name, found "${now().text}"`));
  const blockEnd = () => (now().type === 'end' ? next() : fail(`unexpected "${now().text}"`));

  const body = body0([]);
  return body;

  function body0(ends: readonly string[]): Body {
    const out: Stmt[] = [];
    while (at < tokens.length) {
      const token = next();
      if (token.type === 'data') out.push({ kind: 'data', text: token.text });
      else if (token.text === '{{') {
        out.push({ kind: 'print', value: tuple() });
        blockEnd();
      } else {
        if (isName(...ends)) return out;
        out.push(...statement());
      }
    }
    return ends.length ? fail(`{% ${ends.at(-1)} %} is missing`) : out;
  }
  /** A body and the tag that ends it. */
  function block(end: string): Body {
    blockEnd();
    const inner = body0([end]);
    next();
    blockEnd();
    return inner;
  }
  function statement(): readonly Stmt[] {
    const tag = identifier();
    switch (tag) {
      case 'if':
        return [ifBlock()];
      case 'for':
        return [forBlock()];
      case 'set':
        return [setBlock()];
      case 'macro': {
        const name = identifier();
        return [{ kind: 'macro', macro: macro(name, params(), 'endmacro') }];
      }
      case 'call': {
        const list = isOp('(') ? params() : [];
        const call = unary();
        if (call.kind !== 'call') return fail('{% call %} takes a call');
        return [{ kind: 'callblock', call, caller: macro('caller', list, 'endcall') }];
      }
      case 'filter': {
        const filters = filterCalls(true);
        return [{ kind: 'capture', filters, body: block('endfilter') }];
      }
      case 'with': {
        const sets: [string, Expr][] = [];
        while (now().type !== 'end') {
          if (sets.length) expectOp(',');
          const name = identifier();
          expectOp('=');
          sets.push([name, expression()]);
        }
        return [{ kind: 'with', sets, body: block('endwith') }];
      }
      case 'generation':
        return [{ kind: 'with', sets: [], body: block('endgeneration') }];
      case 'break':
      case 'continue':
        blockEnd();
        return loops ? [{ kind: tag }] : fail(`{% ${tag} %} outside a loop`);
      default:
        return fail(`{% ${tag} %} is unknown or not supported here`);
    }
  }
  function ifBlock(): Stmt {
    const branches: [Expr, Body][] = [];
    let otherwise: Body = [];
    do {
      const test = tuple(false);
      blockEnd();
      branches.push([test, body0(['elif', 'else', 'endif'])]);
    } while (next().text === 'elif');
    if (tokens[at - 1]!.text === 'else') {
      blockEnd();
      otherwise = body0(['endif']);
      next();
    }
    blockEnd();
    return { kind: 'if', branches, otherwise };
  }
  function forBlock(): Stmt {
    const to = target(false);
    if (!takeName('in')) fail('expected "in"');
    const of = tuple(false);
    const test = takeName('if') ? expression() : undefined;
    if (isName('recursive')) fail('a recursive for is not supported here');
    blockEnd();
    loops++;
    const inner = body0(['else', 'endfor']);
    loops--;
    let otherwise: Body = [];
    if (next().text === 'else') otherwise = block('endfor');
    else blockEnd();
    return { kind: 'for', target: to, of, ...(test && { test }), body: inner, otherwise };
  }
  function setBlock(): Stmt {
    const to = target(true);
    if (takeOp('=')) {
      const value = tuple();
      blockEnd();
      return { kind: 'set', target: to, value };
    }
    const filters = filterCalls(false);
    return { kind: 'capture', target: to, filters, body: block('endset') };
  }
  function target(spaces: boolean): Target {
    const paren = takeOp('(');
    const names = [identifier()];
    let many = false;
    if (spaces && takeOp('.')) return { space: names[0]!, attribute: identifier() };
    while (takeOp(',')) {
      many = true;
      if (now().type !== 'name' || isName('in')) break;
      names.push(identifier());
    }
    if (paren) expectOp(')');
    for (const n of names) if (constants.has(n)) fail(`cannot assign to ${n}`);
    return { names, tuple: many };
  }
  function params(): Macro['params'] {
    const list: { name: string; fallback?: Expr }[] = [];
    expectOp('(');
    while (!takeOp(')')) {
      if (list.length) expectOp(',');
      const name = identifier();
      if (takeOp('=')) list.push({ name, fallback: expression() });
      else if (list.at(-1)?.fallback) fail('a parameter without default follows one with');
      else list.push({ name });
    }
    return list;
  }
  function macro(name: string, list: Macro['params'], end: string): Macro {
    const [outer, outerLoops] = [uses, loops];
    uses = new Set();
    loops = 0;
    const made = { name, params: list, body: block(end), uses };
    // What a block within names is seen by the macro around it too, as in Jinja.
    if (name === 'caller') for (const n of uses) outer.add(n);
    uses = outer;
    loops = outerLoops;
    return made;
  }
  function filterCalls(first: boolean): Call[] {
    const calls: Call[] = [];
    while ((first && calls.length === 0) || takeOp('|')) calls.push(filterCall());
    return calls;
  }
  function filterCall(): Call {
    let name = identifier();
    while (takeOp('.')) name += `.${identifier()}`;
    return { name, ...(isOp('(') ? callArguments() : { args: [], kwargs: [] }) };
  }
  function callArguments(): Arguments {
    const args: { spread: boolean; value: Expr }[] = [];
    const kwargs: { name?: string; value: Expr }[] = [];
    expectOp('(');
    for (let first = true; !takeOp(')'); first = false) {
      if (!first) {
        expectOp(',');
        if (takeOp(')')) break;
      }
      if (takeOp('**')) kwargs.push({ value: expression() });
      else if (now().type === 'name' && tokens[at + 1]?.type === 'op' && tokens[at + 1]?.text === '=') {
        const name = identifier();
        next();
        kwargs.push({ name, value: expression() });
      } else {
        const spread = takeOp('*');
        if (kwargs.length) fail('a positional argument follows a keyword argument');
        args.push({ spread, value: expression() });
      }
    }
    return { args, kwargs };
  }

  function tuple(conditional = true): Expr {
    const one = () => (conditional ? expression() : or());
    const items: Expr[] = [];
    let comma = false;
    while (!(now().type === 'end' || isOp(')') || isName('recursive'))) {
      items.push(one());
      if (!takeOp(',')) break;
      comma = true;
    }
    if (items.length === 0) fail(`expected an expression, found "${now().text}"`);
    return comma ? { kind: 'tuple', items } : items[0]!;
  }
  function expression(): Expr {
    let value = or();
    while (takeName('if')) {
      const test = or();
      value = { kind: 'if', test, value, ...(takeName('else') && { otherwise: expression() }) };
    }
    return value;
  }
  function left(ops: readonly string[], operand: () => Expr, names = false): Expr {
    let value = operand();
    while (names ? isName(...ops) : isOp(...ops))
      value = { kind: 'binary', op: next().text, left: value, right: operand() };
    return value;
  }
  function or(): Expr {
    return left(['or'], () => left(['and'], not, true), true);
  }
  function not(): Expr {
    return takeName('not') ? { kind: 'not', of: not() } : comparison();
  }
  function comparison(): Expr {
    const first = sum();
    const rest: [string, Expr][] = [];
    for (;;) {
      if (isOp('==', '!=', '<', '<=', '>', '>=')) rest.push([next().text, sum()]);
      else if (takeName('in')) rest.push(['in', sum()]);
      else if (isName('not') && tokens[at + 1]?.type === 'name' && tokens[at + 1]?.text === 'in') {
        at += 2;
        rest.push(['not in', sum()]);
      } else return rest.length ? { kind: 'compare', first, rest } : first;
    }
  }
  function sum(): Expr {
    const product = () => left(['*', '/', '//', '%'], () => left(['**'], () => unary()));
    return left(['+', '-'], () => left(['~'], product));
  }
  function unary(filters = true): Expr {
    const sign = isOp('-', '+') ? (next().text as '-' | '+') : undefined;
    let value: Expr = sign ? { kind: sign, of: unary(false) } : primary();
    value = postfix(value);
    while (filters) {
      if (takeOp('|')) value = { kind: 'filter', of: value, call: filterCall() };
      else if (takeName('is')) value = test(value);
      else if (isOp('(')) value = { kind: 'call', callee: value, call: callArguments() };
      else break;
    }
    return value;
  }
  function test(of: Expr): Expr {
    const negated = takeName('not');
    let call: Call = filterCall();
    const starts = ['string', 'int', 'float'].includes(now().type) || isOp('[', '{');
    const starting = now().type === 'name' && !isName('else', 'or', 'and');
    if (isName('is') && call.args.length === 0) fail('tests with "is" cannot be chained');
    if (call.args.length === 0 && (starts || starting))
      call = { ...call, args: [{ spread: false, value: postfix(primary()) }] };
    const value: Expr = { kind: 'test', of, call };
    return negated ? { kind: 'not', of: value } : value;
  }
  function primary(): Expr {
    const token = next();
    if (token.type === 'name') {
      const constant = constants.get(token.text);
      if (constant !== undefined) return { kind: 'const', value: constant };
      uses.add(token.text);
      return { kind: 'name', name: token.text };
    }
    if (token.type === 'string') {
      let value = token.text;
      while (now().type === 'string') value += next().text;
      return { kind: 'const', value };
    }
    if (token.type === 'int') return { kind: 'const', value: BigInt(token.text.replaceAll('_', '')) };
    if (token.type === 'float') return { kind: 'const', value: Number(token.text.replaceAll('_', '')) };
    if (token.type === 'op' && token.text === '(') {
      if (takeOp(')')) return { kind: 'tuple', items: [] };
      const value = tuple();
      expectOp(')');
      return value;
    }
    if (token.type === 'op' && token.text === '[') return { kind: 'list', items: commas(']', expression) };
    if (token.type === 'op' && token.text === '{')
      return {
        kind: 'dict',
        entries: commas('}', () => {
          const key = expression();
          expectOp(':');
          return [key, expression()] as const;
        }),
      };
    at--;
    return fail(`unexpected "${token.text}"`);
  }
  function commas<T>(end: string, one: () => T): T[] {
    const items: T[] = [];
    while (!takeOp(end)) {
      if (items.length) {
        expectOp(',');
        if (takeOp(end)) break;
      }
      items.push(one());
    }
    return items;
  }
  function postfix(value: Expr): Expr {
    let result = value;
    for (;;) {
      if (takeOp('.')) {
        const token = next();
        if (token.type === 'name') result = { kind: 'attribute', of: result, name: token.text };
        else if (token.type === 'int')
          result = { kind: 'item', of: result, key: { kind: 'const', value: BigInt(token.text) } };
        else fail('expected a name after "."');
      } else if (takeOp('[')) result = subscript(result);
      else if (isOp('(')) result = { kind: 'call', callee: result, call: callArguments() };
      else return result;
    }
  }
  function subscript(of: Expr): Expr {
    const bounds: (Expr | undefined)[] = [isOp(':') ? undefined : expression()];
    if (takeOp(']')) return { kind: 'item', of, key: bounds[0]! };
    while (bounds.length < 3 && takeOp(':')) bounds.push(isOp(':', ']') ? undefined : expression());
    expectOp(']');
    return { kind: 'slice', of, bounds };
  }
}
