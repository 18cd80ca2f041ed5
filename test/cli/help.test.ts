// The help of every command: a sentence that says what it does, examples, and of each option what it is without being given.
import { Command, type Option } from 'commander';
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/program.ts';
import { headlight } from './headlight.ts';

const refuses = (option: Option, value: string): boolean => {
  try {
    option.parseArg?.(value, undefined as never);
    return !option.parseArg;
  } catch {
    return true;
  }
};

/** Takes numbers, or numbers among others, and not any text. */
const takesNumbers = (option: Option): boolean =>
  option.parseArg !== undefined && refuses(option, 'x') && ['1', '0.5', '8x8'].some((value) => !refuses(option, value));

async function optionsOf(name: string): Promise<readonly Option[]> {
  const program = new Command();
  (await commands[name].load())(program, () => async () => {});
  return program.commands[0].options;
}

/** What help says of an option, on one line. */
const said = (help: string, { flags }: Option): string => {
  const rest = help.slice(help.indexOf(`  ${flags}  `) + flags.length + 2);
  return rest.slice(0, rest.search(/\n {2}-|\n\n/)).replace(/\s+/g, ' ');
};

describe.each(Object.keys(commands))('headlight %s --help', (name) => {
  it('begins with a sentence, and ends with examples', async () => {
    const { stdout } = await headlight(name, '--help');
    expect(stdout.replace(/\s+/g, ' ')).toMatch(/^Usage: .*? [A-Z][^.]{15,150}\. /);
    expect(stdout).toMatch(new RegExp(`\\nExamples?:\\n {2}headlight ${name}\\b`));
  });

  it('says of each option what it does, whether it is required, and of numbers what they are by default', async () => {
    const { stdout } = await headlight(name, '--help');
    for (const option of await optionsOf(name)) {
      const text = said(stdout, option);
      expect(text.length, option.flags).toBeGreaterThan(15);
      expect(text.includes('(required)'), option.flags).toBe(option.mandatory);
      if (takesNumbers(option)) expect(text, option.flags).toMatch(/\(default: (?!-1)/);
    }
  });
});

it('numbers are told from names by what an option takes', async () => {
  const numbers = (await optionsOf('generate')).filter(takesNumbers).map(({ long }) => long);
  expect(numbers).toEqual(['--max-new-tokens', '--temperature', '--top-p', '--top-k', '--seed']);
  expect((await optionsOf('tune')).filter(takesNumbers).map(({ long }) => long)).toContain('--image-size');
  expect((await optionsOf('lens')).filter(takesNumbers).map(({ long }) => long)).toEqual(['--pos', '--top']);
});
