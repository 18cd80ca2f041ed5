// The public API as its reference shows it (npm run api): everything has a first sentence, and one entry that exports it.
import {
  Application,
  type DeclarationReflection,
  Logger,
  LogLevel,
  ReflectionKind,
  type SignatureReflection,
} from 'typedoc';
import { beforeAll, describe, expect, it } from 'vitest';
import { entries } from '../tools/bundles.ts';

/** What must say in a sentence what it is. Fields may be clear without one. */
const documented =
  ReflectionKind.Class |
  ReflectionKind.Interface |
  ReflectionKind.TypeAlias |
  ReflectionKind.Variable |
  ReflectionKind.Function |
  ReflectionKind.Method |
  ReflectionKind.Accessor;

type Documented = DeclarationReflection | SignatureReflection;

const hasSentence = ({ comment }: Documented): boolean => comment?.summary.some(({ text }) => /\w/.test(text)) ?? false;

/** Functions, methods and accessors carry their comments on their signatures. */
function signaturesOf(it: DeclarationReflection): readonly Documented[] {
  const own = [...(it.signatures ?? []), ...[it.getSignature, it.setSignature].filter((one) => one !== undefined)];
  return own.length > 0 ? own : [it];
}

class Problems extends Logger {
  readonly found: string[] = [];
  override log(message: string, level: LogLevel): void {
    super.log(message, level);
    if (level >= LogLevel.Warn) this.found.push(message);
  }
}

describe('the public API', () => {
  const problems = new Problems();
  let modules: readonly DeclarationReflection[];

  beforeAll(async () => {
    const app = await Application.bootstrap();
    app.logger = problems;
    const project = await app.convert();
    app.validate(project!);
    modules = project!.children!;
  });

  it('has the entries of package.json, each with something in it', () => {
    expect(modules.map(({ name }) => name).sort()).toEqual([...entries].sort());
    for (const { name, children } of modules) expect(children?.length, name).toBeGreaterThan(5);
  });

  it('shows the types of all that it takes and gives (typedoc.json lists what stays inside), and links lead somewhere', () => {
    expect(problems.found).toEqual([]);
  });

  it('says in a sentence what each class, function, method, type and value is', () => {
    const silent: string[] = [];
    const visit = (it: DeclarationReflection): void => {
      if (it.kindOf(documented) && !it.flags.isInherited && !signaturesOf(it).every(hasSentence))
        silent.push(it.getFullName());
      for (const child of it.children ?? []) visit(child);
    };
    for (const { children } of modules) for (const child of children ?? []) visit(child);
    expect(silent).toEqual([]);
  });

  it('exports a name from one entry only', () => {
    const names = modules.flatMap(({ children }) => children!.map(({ name }) => name));
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    expect(names.length).toBeGreaterThan(150);
  });
});
