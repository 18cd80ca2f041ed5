// The decoder's last step, the final norm and the LM head, for rows of any origin: other layers' residual streams, what a
// head writes.
import { embedding } from '../kernels/embedding/embedding.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import { rmsNorm } from '../kernels/norm/norm.ts';
import { InputError } from '../model/errors.ts';
import { selectHooks } from '../model/interventions/hook-points.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { checkTokens } from './rank.ts';

/**
 * An analysis that goes from the residual stream to logits by itself does not see edits of what comes behind it.
 * @throws InputError for such edits
 */
export function refuseEdits(model: Model, behind: RegExp, what: string): void {
  for (const { at } of model.bound.edits) {
    const missed = selectHooks(model.hookPoints, at).find(({ name }) => behind.test(name));
    if (missed) throw new InputError(`edit of ${missed.name}: ${what}; edit what comes before it, such as blocks.*`);
  }
}

/** How residual rows become logits. */
export interface UnembedOptions {
  /** Apply the final norm first. Without it, rows are taken to be normalised already. */
  readonly norm: boolean;
  /** Logits are brought home for as many rows at once as this holds; 64 MiB by default. 152,000 tokens take 0.6 MB a row. */
  readonly maxBytes?: number;
}

/**
 * Logits of rows of the residual stream, a slice at a time: what they are is up to the caller, they are never all held.
 * @param rows [n, dModel]
 * @param visit is shown each row's number and logits [vocab].
 */
export async function unembedRows(
  model: Model,
  rows: Float32Array,
  { norm, maxBytes = 2 ** 26, ...others }: UnembedOptions,
  visit: (row: number, logits: Float32Array) => void,
): Promise<void> {
  checkOptions(others, ['norm', 'maxBytes'], 'unembedRows');
  const { dModel, vocabSize, eps } = model.config.text;
  const { lnFinal, lmHead } = model.weights.decoder;
  const count = rows.length / dModel;
  const limit = Math.min(maxBytes, model.gpu.capabilities.maxStorageBufferBindingSize);
  const atOnce = Math.max(1, Math.floor(limit / (4 * vocabSize)));
  for (let first = 0; first < count; first += atOnce) {
    const n = Math.min(atOnce, count - first);
    const rec = model.record('unembed');
    const slice = rows.slice(first * dModel, (first + n) * dModel);
    const input = rec.input('rows', 'f32', [n, dModel], slice);
    const x = norm ? rmsNorm(rec, { x: input, weight: lnFinal.weight, eps, label: 'ln_final' }) : input;
    const logits = rec.read(matmul(rec, { x, weight: lmHead, label: 'lm_head' }));
    await rec.submit();
    const values = logits.f32;
    for (let i = 0; i < n; i++) visit(first + i, values.subarray(i * vocabSize, (i + 1) * vocabSize));
  }
}

/**
 * The directions whose product with a residual stream, divided by its norm's scale, is a token's logit: the LM head's row
 * times the final norm's weight.
 * @returns [tokens, dModel]
 * @throws InputError for an id that is not in the vocabulary.
 */
export async function tokenDirections(model: Model, tokens: readonly number[]): Promise<Float32Array> {
  const { dModel, vocabSize } = model.config.text;
  checkTokens(tokens, vocabSize);
  const { lnFinal, lmHead } = model.weights.decoder;
  const rec = model.record('token directions');
  const ids = rec.input('tokens', 'u32', [tokens.length], Uint32Array.from(tokens));
  const rows = rec.read(embedding(rec, { ids, weight: lmHead, label: 'lm_head rows' }));
  const weight = rec.read(lnFinal.weight);
  await rec.submit();
  const w = weight.f32;
  return rows.f32.map((x, i) => x * w[i % dModel]);
}

/** The final norm's weight, [dModel]. */
export async function finalNormWeight(model: Model): Promise<Float32Array> {
  const rec = model.record('ln_final.weight');
  const weight = rec.read(model.weights.decoder.lnFinal.weight);
  await rec.submit();
  return weight.f32;
}
