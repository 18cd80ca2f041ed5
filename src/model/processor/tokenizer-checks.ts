import { quoteValue } from '../../base/quote.ts';
import { ConfigError } from '../errors.ts';

/** The greatest id of a token: ids index a list, and no model has as many. */
export const maxTokenId = 10_000_000;

/** As deep as sequences of normalizers and the like may stand within each other. */
const maxDepth = 32;

/** Where a sequence keeps its parts. */
const partLists = ['normalizers', 'pretokenizers', 'decoders', 'processors'];

/** The model of tokenizer.json. */
interface Model extends Readonly<Record<string, unknown>> {
  readonly type: 'BPE' | 'Unigram' | 'WordPiece';
}

interface Added {
  readonly content: string;
  readonly id: number;
}

function fail(where: string, problem: string): never {
  throw new ConfigError(`tokenizer.json: ${where}: ${problem}; is the file damaged?`);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Checks vocabulary and merges: the library takes what it finds, and fails later or gives wrong ids.
 * @throws ConfigError naming the first thing that is wrong.
 */
export function checkModel(model: Model, added: readonly Added[]): void {
  const vocab = model.type === 'Unigram' ? unigramVocab(model) : vocabById(model);
  for (const [name, type] of [
    ['unk_token', 'string'],
    ['continuing_subword_prefix', 'string'],
    ['continuing_subword_suffix', 'string'],
    ['end_of_word_suffix', 'string'],
    ['max_input_chars_per_word', 'number'],
    ['byte_fallback', 'boolean'],
    ['ignore_merges', 'boolean'],
  ]) {
    const value = model[name] ?? undefined;
    if (value !== undefined && typeof value !== type)
      fail(`model.${name}`, `expected a ${type}, found ${quoteValue(value)}`);
  }
  if (model.type === 'WordPiece' && typeof model.unk_token !== 'string') fail('model.unk_token', 'it is missing');
  if (model.type === 'BPE') checkMerges(model, vocab);
  checkIds(vocab, added);
}

function vocabById({ vocab }: Model): ReadonlyMap<string, number> {
  if (!isObject(vocab)) fail('model.vocab', `expected ids by token, found ${quoteValue(vocab)}`);
  const ids = new Map<string, number>();
  const tokens = new Map<number, string>();
  for (const [token, id] of Object.entries(vocab)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > maxTokenId)
      fail(
        'model.vocab',
        `the id of ${quoteValue(token)} is ${quoteValue(id)}, expected an integer from 0 to ${maxTokenId}`,
      );
    if (tokens.has(id))
      fail('model.vocab', `${quoteValue(tokens.get(id))} and ${quoteValue(token)} both have the id ${id}`);
    tokens.set(id, token);
    ids.set(token, id);
  }
  return ids;
}

function unigramVocab({ vocab, unk_id }: Model): ReadonlyMap<string, number> {
  if (!Array.isArray(vocab) || vocab.length === 0)
    fail('model.vocab', `expected a list of tokens with their scores, found ${quoteValue(vocab)}`);
  if (vocab.length > maxTokenId) fail('model.vocab', `${vocab.length} tokens are more than ${maxTokenId}`);
  const ids = new Map<string, number>();
  for (const [id, entry] of vocab.entries()) {
    const [token, score] = Array.isArray(entry) ? entry : [];
    if (typeof token !== 'string' || !Number.isFinite(score))
      fail(`model.vocab.${id}`, `expected a token and its score, found ${quoteValue(entry)}`);
    ids.set(token, id);
  }
  const unknown = unk_id ?? undefined;
  if (unknown !== undefined && !(Number.isInteger(unknown) && vocab[unknown as number] !== undefined))
    fail('model.unk_id', `${quoteValue(unknown)} is no id of its ${vocab.length} tokens`);
  return ids;
}

function checkMerges({ merges, continuing_subword_prefix: prefix }: Model, vocab: ReadonlyMap<string, number>): void {
  if (!Array.isArray(merges)) fail('model.merges', `expected a list, found ${quoteValue(merges)}`);
  const inPairs = Array.isArray(merges[0]);
  const cut = typeof prefix === 'string' ? prefix : '';
  for (const [i, merge] of merges.entries()) {
    const pair: unknown = inPairs ? merge : typeof merge === 'string' && merge.split(' ');
    const where = `model.merges.${i}`;
    if (!(Array.isArray(pair) && pair.length === 2 && pair.every((token) => typeof token === 'string')))
      fail(where, `expected two tokens, found ${quoteValue(merge)}`);
    const [left, right] = pair as [string, string];
    const whole = left + (cut && right.startsWith(cut) ? right.slice(cut.length) : right);
    for (const token of [left, right, whole])
      if (!vocab.has(token))
        fail(where, `${quoteValue(merge)} needs the token ${quoteValue(token)}, which model.vocab lacks`);
  }
}

function checkIds(vocab: ReadonlyMap<string, number>, added: readonly Added[]): void {
  const tokens = new Map<number, string>();
  for (const [token, id] of vocab) tokens.set(id, token);
  for (const { content, id } of added) {
    const other = tokens.get(id);
    if (other !== undefined && other !== content)
      fail('added_tokens', `${quoteValue(content)} has the id ${id}, which is ${quoteValue(other)} already`);
    tokens.set(id, content);
  }
}

/**
 * Checks a normalizer, pre-tokenizer, post-processor or decoder: of the right form, and with patterns that are texts.
 * @param where its name in tokenizer.json.
 * @returns whether it has regular expressions.
 * @throws ConfigError naming the first thing that is wrong.
 */
export function checkPart(part: unknown, where: string, depth = 0): boolean {
  if (part === null) return false;
  if (!isObject(part) || typeof part.type !== 'string')
    fail(where, `expected an object with a type, found ${quoteValue(part)}`);
  if (depth > maxDepth) fail(where, `more than ${maxDepth} sequences within each other`);
  let hasRegex = false;
  if (part.pattern !== undefined) {
    const { Regex, String: text } = isObject(part.pattern) ? part.pattern : {};
    if (typeof Regex !== 'string' && !(Regex === undefined && typeof text === 'string'))
      fail(`${where}.pattern`, `expected a Regex or a String, found ${quoteValue(part.pattern)}`);
    hasRegex = Regex !== undefined;
  }
  for (const name of partLists) {
    const parts = part[name];
    if (parts === undefined) continue;
    if (!Array.isArray(parts)) fail(`${where}.${name}`, `expected a list, found ${quoteValue(parts)}`);
    for (const [i, one] of parts.entries()) {
      if (one === null) fail(`${where}.${name}.${i}`, 'it is null');
      if (checkPart(one, `${where}.${name}.${i}`, depth + 1)) hasRegex = true;
    }
  }
  return hasRegex;
}
