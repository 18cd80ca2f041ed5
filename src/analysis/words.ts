// Words of a head: which tokens its output makes likelier, read through W_O and the unembedding.

import { type Head, headName } from '../base/heads.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import { InputError } from '../model/errors.ts';
import type { ModelInput } from '../model/input.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { type CapturedOptions, captured } from './captured.ts';
import { checkFinite } from './finite.ts';
import { checkHeads, layersOf } from './heads.ts';
import { resolvePosition } from './positions.ts';
import { topK } from './rank.ts';
import { finalNormWeight, unembedRows } from './unembed.ts';

/** A head's output before W_O, [dHead]: at a position, or a mean over many. */
export interface HeadOutput extends Head {
  /** [dHead] f32. */
  readonly z: Float32Array;
}

/** A token, and how much a head writes for or against it. */
export interface Word {
  /** The token id. */
  readonly id: number;
  /** What the head adds to the token's logit, times the final norm's scale. */
  readonly value: number;
}

/** The tokens that a head writes for and against. */
export interface HeadWords extends Head {
  /** The tokens that it makes likeliest, and those that it makes least likely. */
  readonly promoted: readonly Word[];
  readonly suppressed: readonly Word[];
}

/** Which heads, and where. */
export interface HeadOutputOptions extends CapturedOptions {
  /** Heads of the decoder. */
  readonly heads: readonly Head[];
  /** Negative numbers count from the end. Default: the last position. */
  readonly position?: number;
}

/** `hook_z` of some heads at one position. @throws NotFiniteError where it is not finite. */
export async function headOutputs(
  model: Model,
  input: ModelInput,
  { heads, position = -1, cache, ...others }: HeadOutputOptions,
): Promise<HeadOutput[]> {
  checkOptions(others, ['heads', 'position', 'cache'], 'headOutputs');
  const { dHead } = model.config.text;
  checkHeads(model.config.text, heads);
  const at = resolvePosition(position, input.inputIds.length);
  const name = (layer: number) => `blocks.${layer}.attn.hook_z`;
  const found = await captured(model, input, layersOf(heads).map(name), { start: at, end: at + 1 }, cache);
  for (const layer of layersOf(heads))
    await checkFinite(model, input, 'the heads’ outputs', found.get(name(layer))!.data);
  return heads.map(({ layer, head }) => {
    const { data } = found.get(name(layer))!; // [1, nHeads, dHead]
    return { layer, head, z: data.slice(head * dHead, (head + 1) * dHead) };
  });
}

/**
 * The mean of head vectors [layers, nHeads, dHead] of many examples, head by head.
 * @throws InputError without examples, or for a head that they do not hold.
 */
export function meanHeadOutputs(
  vectors: readonly Float32Array[],
  { nHeads, dHead }: { readonly nHeads: number; readonly dHead: number },
  heads: readonly Head[],
): HeadOutput[] {
  if (!vectors.length) throw new InputError('the mean of no examples: give at least one');
  return heads.map(({ layer, head }) => {
    const start = (layer * nHeads + head) * dHead;
    if (start + dHead > vectors[0].length)
      throw new InputError(
        `head ${headName({ layer, head })} lies beyond the ${vectors[0].length / dHead} heads of the examples`,
      );
    const z = Float32Array.from(
      { length: dHead },
      (_, d) => vectors.reduce((sum, vector) => sum + vector[start + d], 0) / vectors.length,
    );
    return { layer, head, z };
  });
}

/**
 * W_U (w_final ⊙ W_O^h z): the final norm's scale, one number for all tokens, is left out, so that the order of tokens is
 * that of the head's direct effect on the logits.
 */
export async function headWords(
  model: Model,
  outputs: readonly HeadOutput[],
  { k = 10, ...others }: { readonly k?: number } = {},
): Promise<HeadWords[]> {
  checkOptions(others, ['k'], 'headWords');
  checkHeads(model.config.text, outputs);
  const { dHead, dModel } = model.config.text;
  const wrong = outputs.find(({ z }) => z.length !== dHead);
  if (wrong)
    throw new InputError(`head ${headName(wrong)}: an output of ${wrong.z.length} numbers, heads here have ${dHead}`);
  const [weight, written] = [await finalNormWeight(model), await throughOutput(model, outputs)];
  const rows = written.map((x, i) => x * weight[i % dModel]);
  const found: HeadWords[] = [];
  await unembedRows(model, rows, { norm: false }, (row, logits) => {
    const { layer, head } = outputs[row];
    const words = (values: Float32Array) => topK(values, k).map((id): Word => ({ id, value: logits[id] }));
    found.push({ layer, head, promoted: words(logits), suppressed: words(logits.map((x) => -x)) });
  });
  return found;
}

/** What heads write into the residual stream, W_O^h z without bias: [outputs, dModel]. */
async function throughOutput(model: Model, outputs: readonly HeadOutput[]): Promise<Float32Array> {
  const { nHeads, dHead, dModel } = model.config.text;
  const rec = model.record('head outputs through W_O');
  const reads = layersOf(outputs).map((layer) => {
    const mine = outputs.flatMap((output, i) => (output.layer === layer ? [i] : []));
    const z = new Float32Array(mine.length * nHeads * dHead); // the other heads' places stay zero
    for (const [row, i] of mine.entries()) z.set(outputs[i].z, (row * nHeads + outputs[i].head) * dHead);
    const x = rec.input(`blocks.${layer} z`, 'f32', [mine.length, nHeads * dHead], z);
    const { weight } = model.weights.decoder.blocks[layer].o;
    return { mine, read: rec.read(matmul(rec, { x, weight, label: `blocks.${layer}.attn.o_proj` })) };
  });
  await rec.submit();
  const written = new Float32Array(outputs.length * dModel);
  for (const { mine, read } of reads) {
    const rows = read.f32;
    for (const [row, i] of mine.entries()) written.set(rows.subarray(row * dModel, (row + 1) * dModel), i * dModel);
  }
  return written;
}
