// What the commands of analyses share: which heads, tokens and positions, and results as JSON, CSV and plots.
import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { topK } from '../analysis/rank.ts';
import type { Target } from '../analysis/sweep.ts';
import { tokenText } from '../analysis/token-text.ts';
import { allHeads, type Head, headName } from '../base/heads.ts';
import type { ModelInput } from '../model/input.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import { writeWhole } from '../platform/node-write.ts';
import { type Context, UsageError } from './context.ts';
import { type CsvRow, toCsv } from './csv.ts';
import { outputFile } from './files.ts';
import type { Progress } from './progress.ts';

export interface OutputOptions {
  csv?: string;
  out?: string;
}

export function withOutputOptions(command: Command): Command {
  return command
    .option('--csv <file>', 'also write the numbers to a CSV file, a row each', outputFile)
    .option('--out <file>', 'also draw the numbers: an .svg or a .png file', plotFile);
}

function plotFile(file: string): string {
  if (!['.svg', '.png'].includes(extname(file).toLowerCase()))
    throw new InvalidArgumentError('Plots are written as .svg or .png.');
  return outputFile(file);
}

/** Writes what was asked for of one result. @param plot makes SVG text. */
export async function writeResults(
  context: Context,
  { csv, out }: OutputOptions,
  result: { readonly json: object; readonly rows: readonly CsvRow[]; plot(): Promise<string> },
): Promise<void> {
  context.signal.throwIfAborted();
  if (csv) await writeWhole(csv, toCsv(result.rows));
  if (out) {
    const svg = await result.plot();
    await writeWhole(out, extname(out).toLowerCase() === '.svg' ? svg : await toPng(svg));
  }
  for (const file of [csv, out]) if (file) context.printWritten(file);
  context.result(result.json);
}

/** Twice as fine as the SVG's own pixels, for print and sharp screens. */
async function toPng(svg: string): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  return sharp(Buffer.from(svg), { density: 144, limitInputPixels: 2 ** 28 })
    .png()
    .toBuffer();
}

/** A bar for work that reports how far it is. */
export async function withProgress<T>(
  context: Context,
  label: string,
  work: (options: { onProgress: (done: number, total: number) => void }) => Promise<T>,
): Promise<T> {
  let progress: Progress | undefined;
  try {
    return await work({
      onProgress(done, total) {
        progress ??= context.progress(label, total);
        progress.update(done);
      },
    });
  } finally {
    progress?.stop();
  }
}

/** For commander: `2.5,3.0`, whole layers as `2.*`, or `all`. What the model has is checked later. */
export type HeadChoice = (config: { nLayers: number; nHeads: number }) => Head[];

export function headChoice(text: string): HeadChoice {
  if (text === 'all') return allHeads;
  const parts = text.split(',').map((part) => /^\s*(\d+)\.(\d+|\*)\s*$/.exec(part));
  if (parts.some((part) => !part))
    throw new InvalidArgumentError('Give heads as layer.head, such as 2.5,3.0; a whole layer as 2.*; or all.');
  return ({ nHeads }) =>
    parts.flatMap((part) => {
      const [, layer, head] = part!;
      const heads = head === '*' ? Array.from({ length: nHeads }, (_, h) => h) : [Number(head)];
      return heads.map((h) => ({ layer: Number(layer), head: h }));
    });
}

/** Of which position something is shown: `what` says of what. */
export const positionOption = (what: string): Option =>
  new Option('--position <p>', `${what}: last, or a number (negative from the end)`)
    .argParser(onePosition)
    .default(-1, 'last');

/** For commander: a position, `last`, or a number, negative from the end. */
export function onePosition(text: string): number {
  if (text === 'last') return -1;
  if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError('Give last, or a position as a whole number.');
  return Number(text);
}

export interface TargetOptions {
  token?: string;
  against?: string;
  logProbability?: boolean;
}

export function withTargetOptions(command: Command): Command {
  return command
    .option('--token <text>', 'the answer whose logit is measured, by its first token (default: the likeliest)')
    .option(
      '--against <text>',
      'measure how far the logit is above that of this other answer (default: the logit alone)',
    )
    .option(
      '--log-probability',
      'measure the logarithm of the token’s probability instead of its logit (default: off)',
    );
}

/** The target of a command, and what it is called. */
export async function readTarget(
  context: Context,
  model: VisionLanguageModel,
  input: ModelInput,
  { token, against, logProbability }: TargetOptions,
): Promise<{ target: Target; name: string; tokens: { token: string; against?: string } }> {
  if (against !== undefined && logProbability)
    throw new UsageError('--against measures a difference of logits: leave --log-probability out');
  const id = token === undefined ? await likeliest(model, input) : firstToken(context, model, token);
  const other = against === undefined ? undefined : firstToken(context, model, against);
  if (other === id) throw new UsageError('--token and --against begin with the same token');
  const text = (of: number) => tokenText(model.processor.tokenizer, of);
  const metric = logProbability ? 'log-probability' : 'logit';
  return {
    target: { token: id, against: other, metric },
    name:
      other === undefined
        ? `${logProbability ? 'log probability' : 'logit'} of “${text(id)}”`
        : `logit of “${text(id)}” less “${text(other)}”`,
    tokens: { token: text(id), ...(other !== undefined && { against: text(other) }) },
  };
}

/** What the model would say first. */
export async function likeliest(model: VisionLanguageModel, input: ModelInput): Promise<number> {
  const cache = await model.runWithCache(input, { namesFilter: 'logits', posSlice: -1 });
  return topK(cache.get('logits')!.data, 1)[0];
}

/** The first token of an answer; says so where there are more. */
export function firstToken(context: Context, { processor }: VisionLanguageModel, text: string): number {
  const { tokenizer } = processor;
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  if (!ids.length) throw new UsageError(`${JSON.stringify(text)} has no tokens`);
  if (ids.length > 1)
    context.note(
      `“${text}” is ${ids.length} tokens (${ids.map((id) => tokenText(tokenizer, id)).join(' | ')}): the first is taken`,
    );
  return ids[0];
}

/** For people: `12.345`, `-0.0012`. */
export const short = (x: number): string => (Number.isFinite(x) ? `${Number(x.toPrecision(4))}` : `${x}`);

export const headCells = (head: Head) => ({ layer: head.layer, head: head.head, name: headName(head) });

/** `0`, `1`, …: labels of layers or heads. */
export const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);
