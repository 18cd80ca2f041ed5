// Where `headlight tune` keeps its choices: a file for each adapter, with its driver, and each version of Headlight.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { quote } from '../base/quote.ts';
import * as s from '../base/schema.ts';
import { adapterName, type Capabilities } from '../gpu/capabilities.ts';
import type { TunedChoices } from '../gpu/tuning.ts';
import { FileError } from '../platform/errors.ts';
import { cacheFolder } from '../platform/node-cache-folder.ts';
import { writeWhole } from '../platform/node-write.ts';
import { tunables } from '../verify/tunables.ts';
import { readJsonFile } from './files.ts';
import { version as headlight } from './package-info.ts';

/** What tells adapters apart. In Node the description ends with the driver and its version. */
type Adapter = Pick<Capabilities, 'vendor' | 'architecture' | 'description'>;

const text = s.string(0, 1000);
/** What a file of any version has. */
const head = {
  format: s.literal('headlight-tuning'),
  headlight: text,
  adapter: s.strictObject({ vendor: text, architecture: text, description: text }),
};
const schema = s.strictObject({
  ...head,
  choices: s.strictObject({
    attention: s.optional(s.record(text, s.oneOf(tunables.attention.candidates))),
    matmul: s.optional(s.record(text, s.oneOf(tunables.matmul.candidates))),
  }),
});

const maxBytes = 2 ** 20;
const way = 'delete it and run headlight tune, or run without (--no-tuning)';

/** The file for an adapter, in this user's cache folder. */
export function tuningFile({ vendor, architecture, description }: Adapter): string {
  const key = createHash('sha256')
    .update(JSON.stringify([vendor, architecture, description]))
    .digest('hex');
  return join(cacheFolder(), 'tuning', `${headlight}-${key.slice(0, 16)}.json`);
}

/**
 * The choices for an adapter, where there are any. Those of another version are not taken: kernels may have changed.
 * @throws FileError naming the file where it is damaged, of another adapter, or names candidates that there are not.
 */
export async function readTuning(adapter: Adapter, note: (line: string) => void): Promise<TunedChoices | undefined> {
  const file = tuningFile(adapter);
  if (!existsSync(file)) return undefined;
  const refuse = (problem: string) => new FileError(`${file}: ${problem}; ${way}`);
  const json = await readJsonFile(file, maxBytes).catch((e: Error) => {
    throw new FileError(`${e.message}; ${way}`, { cause: e });
  });
  const { value: about } = s.check(s.looseObject(head), json);
  if (!about) throw refuse('not a file of headlight tune');
  if (about.headlight !== headlight) {
    note(`${file} is of version ${quote(about.headlight)} and not used; headlight tune makes it anew`);
    return undefined;
  }
  const { vendor, architecture, description } = about.adapter;
  if (vendor !== adapter.vendor || architecture !== adapter.architecture || description !== adapter.description)
    throw refuse(`it is of another adapter, ${quote(adapterName(about.adapter))}`);
  const { value, problems } = s.check(schema, json);
  if (value) return Object.fromEntries(Object.entries(value.choices).filter(([, each]) => each));
  const [{ path, message }] = problems!;
  throw refuse(`${path.map((each) => quote(String(each))).join(', ') || 'the file'}: ${message}`);
}

/** Writes the choices for an adapter. @returns the file */
export async function writeTuning(adapter: Adapter, choices: TunedChoices): Promise<string> {
  const file = tuningFile(adapter);
  const { vendor, architecture, description } = adapter;
  const content = { format: 'headlight-tuning', headlight, adapter: { vendor, architecture, description }, choices };
  await writeWhole(file, `${JSON.stringify(content, undefined, 2)}\n`);
  return file;
}

export const choiceCount = (choices: TunedChoices): number =>
  Object.values(choices).reduce((sum, byShape) => sum + Object.keys(byShape).length, 0);
