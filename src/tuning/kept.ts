// Where choices of kernels are kept: for each adapter, with its driver, and each version of Headlight (docs/adr/0021-tuning.md).
import { keptTexts } from '#platform';
import { quote } from '../base/quote.ts';
import * as s from '../base/schema.ts';
import { version as headlight } from '../base/version.ts';
import { sha256Hex } from '../checkpoint/sha256.ts';
import { adapterName, type Capabilities } from '../gpu/capabilities.ts';
import type { TunedChoices } from '../gpu/tuning.ts';
import { attentionCandidateNames } from '../kernels/attention/candidates.ts';
import { matmulCandidateNames } from '../kernels/matmul/candidates.ts';
import { FileError } from '../platform/errors.ts';
import type { KeptTexts } from '../platform/types.ts';

/** Where choices are kept. */
export interface KeptTuningOptions {
  /** By default `tuning/` of the cache folder in Node, IndexedDB in a page. */
  readonly store?: KeptTexts;
  /** Told where what is kept is not used. */
  readonly onNotice?: (message: string) => void;
}

const text = s.string(0, 1000);
/** What any version keeps. */
const head = {
  format: s.literal('headlight-tuning'),
  headlight: text,
  adapter: s.strictObject({ vendor: text, architecture: text, description: text }),
};
const schema = s.strictObject({
  ...head,
  choices: s.strictObject({
    attention: s.optional(s.record(text, s.oneOf(attentionCandidateNames))),
    matmul: s.optional(s.record(text, s.oneOf(matmulCandidateNames))),
  }),
});

const maxLength = 2 ** 20;
const way = 'delete it and tune again (headlight tune), or run without it (--no-tuning)';

/** In Node the description ends with the driver and its version. */
async function placeOf({ vendor, architecture, description }: Capabilities, store = keptTexts('tuning')) {
  const hash = await sha256Hex(JSON.stringify([vendor, architecture, description]));
  const key = `${headlight}-${hash.slice(0, 16)}`;
  return { store, key, location: store.location(key) };
}

/** Where the choices for an adapter are, for messages. */
export const tuningLocation = async (adapter: Capabilities, store?: KeptTexts): Promise<string> =>
  (await placeOf(adapter, store)).location;

/**
 * The choices of kernels that were kept for an adapter, where there are any: `openGpu({ tuning: keptTuning })`. Those of another version
 * are not taken: kernels may have changed.
 * @throws FileError naming the place where what is there is damaged, of another adapter, or names candidates that there are not.
 */
export async function keptTuning(
  adapter: Capabilities,
  { store: given, onNotice }: KeptTuningOptions = {},
): Promise<TunedChoices | undefined> {
  const { store, key, location } = await placeOf(adapter, given);
  const refuse = (problem: string) => new FileError(`${location}: ${problem}; ${way}`);
  const kept = await store.get(key).catch((e: Error) => {
    throw new FileError(`${e.message}; ${way}`, { cause: e });
  });
  if (kept === undefined) return undefined;
  if (kept.length > maxLength) throw refuse(`${kept.length} characters are too many`);
  let json: unknown;
  try {
    json = JSON.parse(kept);
  } catch (e) {
    throw refuse(`not JSON (${(e as Error).message})`);
  }
  const { value: about } = s.check(s.looseObject(head), json);
  if (!about) throw refuse('not what headlight tune keeps');
  if (about.headlight !== headlight) {
    onNotice?.(`${location} is of version ${quote(about.headlight)} and not used; tune again (headlight tune)`);
    return undefined;
  }
  const { vendor, architecture, description } = about.adapter;
  if (vendor !== adapter.vendor || architecture !== adapter.architecture || description !== adapter.description)
    throw refuse(`it is of another adapter, ${quote(adapterName(about.adapter))}`);
  const { value, problems } = s.check(schema, json);
  if (value) return Object.fromEntries(Object.entries(value.choices).filter(([, each]) => each));
  const [{ path, message }] = problems!;
  throw refuse(`${path.map((each) => quote(String(each))).join(', ') || 'what is there'}: ${message}`);
}

/**
 * Keeps choices for an adapter, with its driver and this version, in the place of those that were kept.
 * @param choices of `tuneModel`.
 * @returns where, for messages.
 * @throws FileError where it cannot be written.
 */
export async function keepTuning(
  of: Capabilities,
  choices: TunedChoices,
  { store: given }: Pick<KeptTuningOptions, 'store'> = {},
): Promise<string> {
  const { vendor, architecture, description } = of;
  const adapter = { vendor, architecture, description };
  const { store, key, location } = await placeOf(of, given);
  const content = { format: 'headlight-tuning', headlight, adapter, choices };
  await store.put(key, `${JSON.stringify(content, undefined, 2)}\n`);
  return location;
}
