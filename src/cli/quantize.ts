import { readdir, realpath, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { openFolder } from '#platform';
import { printableLine } from '../base/printable.ts';
import { openCheckpointFolder } from '../hub/checkpoint-folder.ts';
import { showSize } from '../hub/download.ts';
import { readJson } from '../model/config/json.ts';
import { quantisationOf } from '../model/quantisation.ts';
import { quantize } from '../model/quantize.ts';
import { precisionOf, type WeightsChoice } from '../model/weight-formats.ts';
import type { Quantized } from '../model/write-quantized.ts';
import { FileError } from '../platform/errors.ts';
import { writeFolder } from '../platform/node-write.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import { announceGpu, type CommonOptions, weightsChoice, withOutputFlags } from './model.ts';

interface Options extends CommonOptions {
  out: string;
  weights: WeightsChoice;
  replace?: true;
}

export const quantizeCommand: Register = (program, run) => {
  withOutputFlags(
    program
      .command('quantize')
      .argument('<model>', 'checkpoint folder, the hub id of a downloaded one, or tiny-llava')
      .description(
        'Write a checkpoint again in fewer bits: --model takes the new folder, and reads about a quarter of the bytes (q4).\nIts answers are those of the same --weights given each time, bit for bit on the same adapter.',
      )
      .requiredOption('--out <dir>', 'the folder to write, a new or an empty one')
      .option(
        '--weights <format>',
        'q4 (decoder; the rest q8), q8, f16, bf16 or f32, or by part: decoder=q4,tower=f16',
        weightsChoice,
        'q4',
      )
      .option('--replace', 'replace a folder that quantize has written before (default: refuse)'),
  )
    .addHelpText(
      'after',
      `
Examples:
  headlight quantize tiny-llava --out tiny-llava-q4
  headlight quantize llava-hf/llava-1.5-7b-hf --out ~/models/llava-1.5-7b-q4
  headlight generate --model ~/models/llava-1.5-7b-q4 --image a.jpg --prompt 'What is this?'
  headlight quantize ~/models/qwen2-vl-7b --out ~/models/qwen2-vl-7b-mixed --weights decoder=q4,embeddings=q8,head=q8`,
    )
    .action((model: string, options: Options, command: Command) =>
      run<Options>((context) => quantizeTo(context, model, options))(options, command),
    );
};

async function quantizeTo(context: Context, model: string, { out, weights, replace }: Options): Promise<void> {
  const source = await openCheckpointFolder(model);
  await checkPlace(source.location, out, replace ?? false);
  const gpu = await announceGpu(context);
  let progress: ReturnType<Context['progress']> | undefined;
  try {
    const written = await writeFolder(
      out,
      (write) =>
        quantize(source, {
          gpu,
          weights,
          write,
          signal: context.signal,
          onSize: (bytes) => checkRoom(out, bytes),
          onProgress: (done, total) => {
            progress ??= context.progress('quantising', total);
            progress.update(done, `${showSize(done)} of ${showSize(total)}`);
          },
        }),
      { replace },
    );
    progress?.stop();
    report(context, out, precisionOf(weights)!, written);
  } finally {
    progress?.stop();
    gpu.dispose();
  }
}

/** @throws UsageError where the folder cannot be written without losing what is there. */
async function checkPlace(source: string, out: string, replace: boolean): Promise<void> {
  if (out === '') throw new UsageError('--out: name the folder to write');
  const there = await stat(out).catch(() => undefined);
  if (!there) return;
  if (!there.isDirectory()) throw new UsageError(`--out: ${out} is a file; name a folder`);
  if ((await realpath(out)) === (await realpath(source).catch(() => source)))
    throw new UsageError(`--out: ${out} is the checkpoint itself; name another folder`);
  if ((await readdir(out)).length === 0) return;
  if (!replace)
    throw new UsageError(
      `--out: ${out} is not empty; name another folder, or give --replace if quantize has written this one`,
    );
  const folder = await openFolder(out);
  if (!quantisationOf(await readJson(folder, 'config.json'), `${out}/config.json`))
    throw new UsageError(`--out: ${out} is not of quantize, and is not replaced; name another folder`);
}

/** @throws FileError where the disk has less room than is needed. */
async function checkRoom(out: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(resolve(out)));
  if (bytes > bavail * bsize)
    throw new FileError(
      `${out}: ${showSize(bytes)} are to be written, but the disk has ${showSize(bavail * bsize)} free; make room there, or name another place`,
    );
}

function report(context: Context, out: string, weights: string, written: Quantized): void {
  const { files, formats, storedBytes, left, modelId } = written;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const parts = Object.entries(formats).map(([name, size]) => `${name} ${showSize(size)}`);
  context.print(
    `${files.length} files, ${showSize(bytes)} (${parts.join(', ')}), from ${showSize(storedBytes)} of tensors`,
  );
  if (left.length) context.print(`not written, as no run reads them: ${left.length} tensors`);
  context.print(`in ${printableLine(out)}; use it with: --model ${printableLine(out)}`);
  context.result({ out, weights, modelId, bytes, storedBytes, formats, files, left });
}
