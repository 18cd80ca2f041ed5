import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { boundedCall } from '#platform';

const backtracking = () => /^(a+)+$/.test(`${'a'.repeat(40)}b`);

describe('boundedCall', () => {
  it('gives what the call gives, and throws what it throws', () => {
    expect(boundedCall('x', () => ({ a: 1 }))).toEqual({ a: 1 });
    expect(boundedCall('x', () => undefined)).toBeUndefined();
    const error = new TypeError('mine');
    expect(() =>
      boundedCall('x', () => {
        throw error;
      }),
    ).toThrow(error);
    expect(boundedCall('x', () => boundedCall('y', () => 1) + boundedCall('z', () => 2))).toBe(3);
  });

  it.each<[string, () => unknown]>([
    [
      'a loop',
      () => {
        for (;;);
      },
    ],
    ['a regular expression', backtracking],
    [
      'a sort',
      () =>
        Array.from({ length: 1e6 }, (_, i) => i).sort(() => {
          for (;;);
        }),
    ],
  ])('stops %s', (_, call) => {
    const started = performance.now();
    expect(() => boundedCall('tokenizer.json', call, 200)).toThrow(
      'tokenizer.json: it takes longer than 0.2 s and was stopped',
    );
    expect(performance.now() - started).toBeLessThan(3000);
    expect(boundedCall('x', () => 5)).toBe(5);
  });

  it('is ended by Ctrl-C, of which the process hears before the error', async () => {
    const module = fileURLToPath(new URL('../../src/platform/node-bounded.ts', import.meta.url));
    const script = `
      import { boundedCall } from ${JSON.stringify(module)};
      process.on('SIGINT', () => console.log('heard'));
      setTimeout(() => process.exit(3), 8000);
      console.log('started');
      try { boundedCall('x', () => { for (;;); }, 20_000); } catch (e) { console.log(e.message); process.exit(130); }
    `;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script]);
    let said = '';
    child.stdout.on('data', (chunk) => {
      if (!said) setTimeout(() => child.kill('SIGINT'), 300);
      said += chunk;
    });
    const code = await new Promise((done) => child.on('close', done));
    // Otherwise a command would take it for an error of its own: exit code 1.
    expect(said).toBe('started\nheard\nx: stopped by Ctrl-C\n');
    expect(code).toBe(130);
  });
});
