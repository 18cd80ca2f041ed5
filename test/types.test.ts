// The built types compile for users who check libraries too (no `skipLibCheck`). The compiler is TypeScript 6, which is here for typedoc: it
// finds what 5.9 finds, and 7 does not.
import { existsSync } from 'node:fs';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

describe('the built types', () => {
  it('compile without skipLibCheck', () => {
    if (!existsSync('dist')) throw new Error('dist/ is not there: npm run build');
    const entries = ['', 'analysis/', 'charts/', 'sav/', 'tuning/', 'verify/'].map(
      (entry) => `dist/${entry}index.d.ts`,
    );
    const program = ts.createProgram(entries, {
      ...{ strict: true, skipLibCheck: false, noEmit: true, types: [] },
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
      module: ts.ModuleKind.NodeNext,
    });
    // Ours alone: those of dependencies and of the language take ten times as long.
    const ours = program
      .getSourceFiles()
      .filter(({ fileName }) => /(^|\/)dist\//.test(fileName) && !fileName.includes('node_modules'));
    expect(ours.length).toBeGreaterThan(50);
    const problems = ours.flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]);
    expect(
      problems.map(
        ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      ),
    ).toEqual([]);
  });
});
