import { callBuiltin, intOf, stringOf } from './arguments.ts';
import { runFilter, runTest } from './filters.ts';
import { strftimeNow } from './format.ts';
import { attribute, binary, contains, item, negate, power, slice } from './operators.ts';
import { type Arguments, type Body, type Expr, type Macro, parseTemplate, type Stmt, type Target } from './parser.ts';
import {
  Attributes,
  compare,
  Dict,
  equal,
  Func,
  fromJs,
  given,
  iterate,
  JinjaError,
  type Kwargs,
  maxOutput,
  Range,
  spend,
  startBudget,
  Tuple,
  textOf,
  truthy,
  typeName,
  Undefined,
  type Value,
} from './values.ts';

class Scope {
  readonly names = new Map<string, Value>();
  readonly outer: Scope | undefined;
  constructor(outer?: Scope) {
    this.outer = outer;
  }
  get(name: string): Value {
    for (let s: Scope | undefined = this; s; s = s.outer) {
      const found = s.names.get(name);
      if (found !== undefined) return found;
    }
    return new Undefined(`"${name}"`);
  }
}

const globals = new Map<string, Value>();
const define = (name: string, params: string, run: (args: (Value | undefined)[], kwargs: Kwargs) => Value) =>
  globals.set(
    name,
    new Func(name, (args, kwargs) =>
      callBuiltin(`${name}()`, { params, run: (_, a, k) => run(a, k) }, null, args, kwargs),
    ),
  );
define('range', 'a b? c?', ([a, b, c]) => {
  const [x, y, z] = [a!, b ?? null, c ?? 1n].map((v) => (v === null ? null : BigInt(intOf(v, 'range()'))));
  return y === null ? new Range(0n, x!, 1n) : new Range(x!, y!, z!);
});
define('namespace', '*', ([from, ...more], kwargs) => {
  if (more.length || (from !== undefined && !(from instanceof Dict)))
    throw new JinjaError('namespace() takes one dict, and names');
  const entries = (from?.entries() ?? []).map(([k, v]) => [stringOf(k, 'namespace()'), v] as const);
  return new Attributes('namespace', new Map([...entries, ...kwargs]));
});
define('dict', '*', ([from, ...more], kwargs) => {
  if (more.length || (from !== undefined && !(from instanceof Dict)))
    throw new JinjaError('dict() takes one dict, and names');
  return new Dict([...(from?.entries() ?? []), ...kwargs]);
});
define('raise_exception', 'message', ([message]) => {
  throw new JinjaError(textOf(message!));
});
define('strftime_now', 'format', ([format]) => strftimeNow(stringOf(format, 'strftime_now()')));
for (const name of ['cycler', 'joiner', 'lipsum', 'self'])
  define(name, '*', () => {
    throw new JinjaError(`${name}() is not supported here`);
  });

/**
 * A chat template as transformers renders it (jinja2's ImmutableSandboxedEnvironment with trim_blocks, lstrip_blocks, loop
 * controls and its own tojson). What is not supported is an error, never another text.
 * @throws JinjaError for a template that does not parse.
 */
export class JinjaTemplate {
  readonly #body: Body;
  constructor(source: string) {
    this.#body = guarded(() => parseTemplate(source));
  }

  /** @throws JinjaError for what the template refuses, for what is not supported, and for what passes a bound. */
  render(variables: Readonly<Record<string, unknown>>): string {
    return guarded(() => {
      startBudget();
      const scope = new Scope();
      for (const [name, value] of [...globals, ...Object.entries(variables).map(([n, v]) => [n, fromJs(v)] as const)])
        scope.names.set(name, value);
      return capture(this.#body, new Scope(scope));
    });
  }
}

/** A template may call itself for ever: the end of the stack is an error of its own. */
function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (e) {
    if (e instanceof RangeError) throw new JinjaError('it nests or calls itself too deeply');
    throw e;
  }
}

function capture(body: Body, scope: Scope): string {
  const out: string[] = [];
  let size = 0;
  execute(body, scope, (text) => {
    size += text.length;
    if (size > maxOutput) throw new JinjaError(`it writes more than ${maxOutput} characters`);
    spend(text.length);
    out.push(text);
  });
  return out.join('');
}

type Write = (text: string) => void;
type Signal = 'break' | 'continue' | undefined;

function execute(body: Body, scope: Scope, write: Write): Signal {
  for (const statement of body) {
    const signal = run(statement, scope, write);
    if (signal) return signal;
  }
  return undefined;
}

function run(s: Stmt, scope: Scope, write: Write): Signal {
  switch (s.kind) {
    case 'data':
      write(s.text);
      return;
    case 'print':
      write(textOf(evaluate(s.value, scope)));
      return;
    case 'if': {
      const branch = s.branches.find(([test]) => truthy(evaluate(test, scope)));
      return execute(branch ? branch[1] : s.otherwise, scope, write);
    }
    case 'for':
      loop(s, scope, write);
      return;
    case 'set':
      assign(s.target, evaluate(s.value, scope), scope);
      return;
    case 'capture': {
      let value: Value = capture(s.body, new Scope(scope));
      for (const call of s.filters) value = filter(call, value, scope);
      if (s.target) assign(s.target, value, scope);
      else write(textOf(value));
      return;
    }
    case 'macro':
      scope.names.set(s.macro.name, macroOf(s.macro, scope));
      return;
    case 'callblock':
      write(textOf(call(s.call.callee, s.call.call, scope, macroOf(s.caller, scope))));
      return;
    case 'with': {
      const inner = new Scope(scope);
      for (const [name, value] of s.sets) inner.names.set(name, evaluate(value, scope));
      return execute(s.body, inner, write);
    }
    default:
      return s.kind;
  }
}

function assign(target: Target, value: Value, scope: Scope): void {
  if ('space' in target) {
    const space = scope.get(target.space);
    if (!(space instanceof Attributes && space.kind === 'namespace'))
      throw new JinjaError(`"${target.space}" is no namespace`);
    space.values.set(target.attribute, value);
  } else if (!target.tuple) scope.names.set(target.names[0]!, value);
  else {
    const items = iterate(value);
    if (items.length !== target.names.length)
      throw new JinjaError(`${items.length} values for ${target.names.length} names`);
    for (const [i, name] of target.names.entries()) scope.names.set(name, items[i]!);
  }
}

function loop(s: Stmt & { kind: 'for' }, scope: Scope, write: Write): void {
  let items = [...iterate(evaluate(s.of, scope))];
  const test = s.test;
  if (test)
    items = items.filter((v) => {
      const inner = new Scope(scope);
      assign(s.target, v, inner);
      return truthy(evaluate(test, inner));
    });
  const n = items.length;
  if (n === 0) execute(s.otherwise, new Scope(scope), write);
  let changed: Value[] | undefined;
  for (const [i, v] of items.entries()) {
    const inner = new Scope(scope);
    const fields: Record<string, Value> = {
      index: BigInt(i + 1),
      index0: BigInt(i),
      revindex: BigInt(n - i),
      revindex0: BigInt(n - i - 1),
      first: i === 0,
      last: i === n - 1,
      length: BigInt(n),
      previtem: given(items[i - 1], new Undefined('"previtem" of the first')),
      nextitem: given(items[i + 1], new Undefined('"nextitem" of the last')),
      depth: 1n,
      depth0: 0n,
      cycle: new Func('cycle', (args) => given(args[i % args.length], new Undefined('cycle() of nothing'))),
      changed: new Func('changed', (args) => {
        const differs = changed === undefined || !equal(changed, args);
        changed = args;
        return differs;
      }),
    };
    inner.names.set('loop', new Attributes('loop', new Map(Object.entries(fields))));
    assign(s.target, v, inner);
    if (execute(s.body, inner, write) === 'break') break;
  }
}

function macroOf(macro: Macro, scope: Scope): Func {
  const { name, params, body, uses } = macro;
  return new Func(name, (args, kwargs) => {
    const inner = new Scope(scope);
    const rest = new Map(kwargs);
    for (const [i, param] of params.entries()) {
      if (i < args.length && rest.has(param.name)) throw new JinjaError(`macro "${name}" takes "${param.name}" twice`);
      const passed = i < args.length ? args[i] : rest.get(param.name);
      rest.delete(param.name);
      const missing = () => (param.fallback ? evaluate(param.fallback, inner) : new Undefined(`"${param.name}"`));
      inner.names.set(param.name, passed === undefined ? missing() : passed);
    }
    if (uses.has('caller')) {
      inner.names.set('caller', given(rest.get('caller'), new Undefined('"caller"')));
      rest.delete('caller');
    }
    if (uses.has('kwargs')) inner.names.set('kwargs', new Dict(rest));
    else if (rest.size) throw new JinjaError(`macro "${name}" takes no "${[...rest.keys()][0]}"`);
    if (uses.has('varargs')) inner.names.set('varargs', new Tuple(args.slice(params.length)));
    else if (args.length > params.length)
      throw new JinjaError(`macro "${name}" takes at most ${params.length} arguments`);
    return capture(body, new Scope(inner));
  });
}

function argumentsOf({ args, kwargs }: Arguments, scope: Scope): [Value[], Map<string, Value>] {
  const names = new Map<string, Value>();
  const places = args.flatMap((a) => (a.spread ? iterate(evaluate(a.value, scope)) : [evaluate(a.value, scope)]));
  for (const { name, value } of kwargs) {
    const v = evaluate(value, scope);
    if (name === undefined && !(v instanceof Dict)) throw new JinjaError(`"**" takes a dict, not ${typeName(v)}`);
    for (const [k, e] of name === undefined ? (v as Dict).entries() : ([[name, v]] as const))
      names.set(stringOf(k, '"**"'), e);
  }
  return [places, names];
}

const filter = (c: Arguments & { name: string }, v: Value, scope: Scope) =>
  runFilter(c.name, v, ...argumentsOf(c, scope));

function call(callee: Expr, args: Arguments, scope: Scope, caller?: Func): Value {
  const fn = evaluate(callee, scope);
  if (!(fn instanceof Func)) throw new JinjaError(`a ${typeName(fn)} cannot be called`);
  const [places, names] = argumentsOf(args, scope);
  if (caller) names.set('caller', caller);
  return fn.call(places, names);
}

function evaluate(e: Expr, scope: Scope): Value {
  switch (e.kind) {
    case 'const':
      return e.value;
    case 'name':
      return scope.get(e.name);
    case 'list':
      return e.items.map((i) => evaluate(i, scope));
    case 'tuple':
      return new Tuple(e.items.map((i) => evaluate(i, scope)));
    case 'dict':
      return new Dict(e.entries.map(([k, v]) => [evaluate(k, scope), evaluate(v, scope)]));
    case 'attribute':
      return attribute(evaluate(e.of, scope), e.name);
    case 'item':
      return item(evaluate(e.of, scope), evaluate(e.key, scope));
    case 'slice':
      return slice(
        evaluate(e.of, scope),
        e.bounds.map((b) => b && evaluate(b, scope)),
      );
    case 'call':
      return call(e.callee, e.call, scope);
    case 'filter':
      return filter(e.call, evaluate(e.of, scope), scope);
    case 'test':
      return runTest(e.call.name, evaluate(e.of, scope), ...argumentsOf(e.call, scope));
    case 'not':
      return !truthy(evaluate(e.of, scope));
    case '-':
    case '+':
      return negate(e.kind, evaluate(e.of, scope));
    case 'if':
      if (truthy(evaluate(e.test, scope))) return evaluate(e.value, scope);
      return e.otherwise ? evaluate(e.otherwise, scope) : new Undefined('an if without else');
    case 'compare':
      return compared(e, scope);
    case 'binary':
      return operated(e, scope);
  }
}

function compared({ first, rest }: Expr & { kind: 'compare' }, scope: Scope): boolean {
  let left = evaluate(first, scope);
  for (const [op, next] of rest) {
    const right = evaluate(next, scope);
    let holds: boolean;
    if (op === '==' || op === '!=') holds = equal(left, right) === (op === '==');
    else if (op === 'in' || op === 'not in') holds = contains(right, left) === (op === 'in');
    else {
      const c = compare(left, right);
      holds = op === '<' ? c < 0 : op === '<=' ? c <= 0 : op === '>' ? c > 0 : c >= 0;
    }
    if (!holds) return false;
    left = right;
  }
  return true;
}

function operated({ op, left, right }: Expr & { kind: 'binary' }, scope: Scope): Value {
  const a = evaluate(left, scope);
  if (op === 'and' || op === 'or') return truthy(a) === (op === 'and') ? evaluate(right, scope) : a;
  const b = evaluate(right, scope);
  if (op === '**') return power(a, b);
  if (op !== '~') return binary(op, a, b);
  const text = textOf(a) + textOf(b);
  spend(text.length);
  return text;
}
