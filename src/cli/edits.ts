import type { Command } from 'commander';
import * as z from 'zod';
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
    `changes to activations: a JSON list of {at, heads?, positions?, keys?, scale?, add?, set?}, see ${documentation('hooks.md')}`,
  );
}

const position = z.int();
const positions = z.union(
  [position, z.tuple([position, position.optional()]), z.strictObject({ at: z.array(position).min(1) })],
  'give a position, [start], [start, end] or {"at": [positions]}',
);
const values = z.union([z.number(), z.array(z.number()).min(1)], 'give a number, or a list of numbers');
const schema = z.array(
  z.strictObject({
    at: z.string().min(1),
    heads: z.array(z.int().min(0)).min(1).optional(),
    positions: positions.optional(),
    keys: positions.optional(),
    scale: z.number().optional(),
    add: values.optional(),
    set: values.optional(),
  }),
);

/**
 * The edits of a file, as `--edits` names it; what they may be is checked against the model when they are used.
 * @throws UsageError naming the file and what is wrong with it.
 */
export async function readEdits({ edits: file }: EditOptions): Promise<readonly Edit[]> {
  if (file === undefined) return [];
  const parsed = schema.safeParse(await readJsonFile(file));
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new UsageError(`${file}: ${path.join('.') || 'the file'}: ${message}`);
  }
  const vector = (v: number | number[] | undefined) => (Array.isArray(v) ? Float32Array.from(v) : v);
  return parsed.data.map(({ add, set, ...rest }) => ({ ...rest, add: vector(add), set: vector(set) }) as Edit);
}
