import type { Command } from 'commander';
import * as s from '../base/schema.ts';
import type { Edit } from '../model/interventions/edits.ts';
import { UsageError } from './context.ts';
import { readJsonFile } from './files.ts';
import { documentation } from './package-info.ts';

export interface EditOptions {
  edits?: string;
}

export function withEditOptions(command: Command): Command {
  return command.option(
    '--edits <file>',
    `a JSON file of changes to activations: a list of {at, heads?, positions?, keys?, scale?, add?, set?}, see ${documentation('hooks.md')}`,
  );
}

const position = s.int();
const positions = s.union(
  [position, s.tuple([position]), s.tuple([position, position]), s.strictObject({ at: s.list(position, 1) })],
  'give a position, [start], [start, end] or {"at": [positions]}',
);
const values = s.union([s.number(), s.list(s.number(), 1)], 'give a number, or a list of numbers');
const schema = s.array(
  s.strictObject({
    at: s.string(1),
    heads: s.optional(s.list(s.int(0), 1)),
    positions: s.optional(positions),
    keys: s.optional(positions),
    scale: s.optional(s.number()),
    add: s.optional(values),
    set: s.optional(values),
  }),
);

/**
 * The edits of a file, as `--edits` names it; what they may be is checked against the model when they are used.
 * @throws UsageError naming the file and what is wrong with it.
 */
export async function readEdits({ edits: file }: EditOptions): Promise<readonly Edit[]> {
  if (file === undefined) return [];
  const { value, problems } = s.check(schema, await readJsonFile(file));
  if (problems) throw new UsageError(`${file}: ${s.describe(problems[0], 'the file')}`);
  const vector = (v: number | number[] | undefined) => (Array.isArray(v) ? Float32Array.from(v) : v);
  return value.map(({ add, set, ...rest }) => ({ ...rest, add: vector(add), set: vector(set) }) as Edit);
}
