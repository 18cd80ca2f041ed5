// What a model says to queries without examples, and how that is kept in a feature cache.
import { sha256Hex } from '../checkpoint/sha256.ts';
import type { ModelInput } from '../model/input.ts';
import type { Answer, VisionLanguageModel } from '../model/vision-language-model.ts';
import { decodeEntry, type EntryShape, encodeEntry, type StoreOptions, throughStore } from './feature-cache.ts';
import {
  checkSharesPrefix,
  type Example,
  ExampleFiles,
  type ExtractOptions,
  examplesAtOnce,
  type HeadVectorSource,
} from './features.ts';
import { runBatches } from './feed.ts';

/** Longest answer that can still be a label; greedy text beyond it would not match anyway. */
const maxNewTokens = 12;

/** What answers by itself need of a model: a `VisionLanguageModel`. */
export type AnswerSource = Pick<VisionLanguageModel, 'answers' | 'endTokens'> &
  HeadVectorSource & { readonly generationConfig?: { readonly values: unknown }; readonly cacheFormat?: string };

/**
 * Answers to every example, in order; of one that the store knows, without a forward pass.
 * @throws InputError with `sharePrefix` for a model that cannot, before anything runs.
 */
export async function readAnswers(
  model: AnswerSource,
  examples: readonly Example[],
  labels: readonly string[],
  options: StoreOptions & Pick<ExtractOptions, 'sharePrefix'> = {},
): Promise<Answer[]> {
  const { sharePrefix } = options;
  if (sharePrefix) await checkSharesPrefix(model);
  const files = new ExampleFiles(model, examples, { sharePrefix });
  const name = (i: number) => examples[i].source;
  const answers: Answer[] = [];
  const found = throughStore(
    examples.length,
    {
      key: async (i) => answerKey(model, await files.key(i), labels),
      plan: (i, missing) => files.plan(i, missing),
      decode: (bytes) => decodeAnswer(bytes, model),
      encode: (answer) => encodeAnswer(answer, model),
      compute: (missing) =>
        runBatches(files.batches(missing, examplesAtOnce(model)), {
          prepare: (i) => files.prepare(i) as Promise<ModelInput>,
          run: (inputs, batch) => model.answers(inputs, { maxNewTokens, labels, sharePrefix: files.beginAlike(batch) }),
          ...{ name, signal: options.signal },
        }),
      again: (i) => `${name(i)} is answered again`,
    },
    options,
  );
  for await (const [i, answer] of found) answers[i] = answer;
  return answers;
}

/** What an answer depends on: what head vectors do, and how texts are generated and labels scored. */
async function answerKey(model: AnswerSource, featureKey: string, labels: readonly string[]): Promise<string> {
  const { cacheFormat = 'f32' } = model;
  const how = ['answer', maxNewTokens, [...model.endTokens], model.generationConfig?.values, labels];
  if (cacheFormat !== 'f32') how.push(cacheFormat); // what is kept from before there were others stays
  return sha256Hex(JSON.stringify([featureKey, how]));
}

/** An entry: the SHA-256 of a line of JSON, that line (the text, how likely each label is), and the head vectors as theirs. */
async function encodeAnswer({ text, labelScores, headVectors }: Answer, shape: EntryShape): Promise<Uint8Array> {
  const line = JSON.stringify([text, labelScores]);
  const head = new TextEncoder().encode(`${await sha256Hex(line)}${line}\n`);
  const vectors = await encodeEntry(headVectors, shape);
  const bytes = new Uint8Array(head.length + vectors.length);
  bytes.set(head);
  bytes.set(vectors, head.length);
  return bytes;
}

async function decodeAnswer(bytes: Uint8Array, shape: EntryShape): Promise<Answer | { problem: string }> {
  const end = bytes.indexOf(0x0a);
  const head = new TextDecoder().decode(bytes.subarray(0, Math.max(end, 0)));
  const line = head.slice(64);
  if ((await sha256Hex(line)) !== head.slice(0, 64)) return { problem: 'fails its checksum' };
  const entry = await decodeEntry(bytes.subarray(end + 1), shape);
  if ('problem' in entry) return entry;
  const [text, labelScores] = JSON.parse(line) as [string, number[]];
  return { text, labelScores, headVectors: entry.values };
}
