import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { printableLine } from '../base/printable.ts';
import { openCheckpointFolder } from '../hub/checkpoint-folder.ts';
import { listKernels } from '../kernels/custom/listing.ts';
import { recordStep } from '../model/plan/dry-run.ts';
import { writeWhole } from '../platform/node-write.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import { type KernelOptions, readKernels, withKernelOptions } from './kernel-file.ts';
import { announceGpu, collect, imageSize, integer, type ModelOptions, withCommonOptions } from './model.ts';
import { checkPrompt, type RecordedPrompt, recordable, recordedInput } from './recordable.ts';

interface Options extends ModelOptions, KernelOptions, RecordedPrompt {
  out: string;
  step?: boolean;
  names?: string[];
}

export const dumpWgslCommand: Register = (program, run) => {
  withKernelOptions(withCommonOptions(program.command('dump-wgsl')))
    .description(
      'Write the WGSL that runs for a checkpoint on this adapter: a file for each WGSL source, and index.json with every dispatch. Reads headers only; nothing is loaded or run.',
    )
    .option('--out <dir>', 'the folder to write, a new or an empty one', 'wgsl')
    .option(
      '--image-size <WxH>',
      'list the kernels of a prompt with an image of this size, in pixels (default: 336x336 if the model takes images)',
      imageSize,
    )
    .option(
      '--tokens <n>',
      'list the kernels of a prompt of n tokens without images instead (default: off)',
      integer(1),
    )
    .option(
      '--step',
      'list what runs for a generated token, the first after the prompt (greedy), instead of what runs for the prompt (default: off)',
    )
    .option(
      '--names <glob>',
      'hook points to be returned, which select kernels; give it again for several (default: logits; with --step none)',
      collect,
    )
    .addHelpText(
      'after',
      `
Examples:
  headlight dump-wgsl --out wgsl
  headlight dump-wgsl --model ~/models/llava-1.5-7b-hf --step --out next-token
  headlight dump-wgsl --names 'blocks.0.attn.hook_pattern' --tokens 40 --out pattern`,
    )
    .action(
      run<Options>(async (context, options) => {
        const { out, step = false, names = step ? [] : ['logits'] } = options;
        checkPrompt(options);
        const kernels = await readKernels(options);
        await requireEmpty(out);
        const folder = await openCheckpointFolder(options.model);
        const gpu = await announceGpu(context, { tuned: options.tuning, arithmetic: options.arithmetic });
        try {
          const model = (await recordable(folder, gpu, options)).with({ kernels });
          const input = await recordedInput(model, folder, options);
          const asked = { namesFilter: names, posSlice: -1 };
          const { files, dispatches } = listKernels(
            step ? recordStep(model, input.inputIds.length, asked).recorded : model.dispatches(input, asked),
          );
          await mkdir(out, { recursive: true });
          for (const [file, text] of files) await writeWhole(join(out, file), text);
          const { vendor, architecture, description } = gpu.capabilities;
          const index = {
            checkpoint: folder.location,
            adapter: [vendor, architecture, description].filter(Boolean).join(' '),
            capabilities: gpu.capabilities,
            prompt: { tokens: input.inputIds.length, pixels: input.visuals.map(({ shape }) => shape) },
            step,
            names,
          };
          // a line for each dispatch
          const head = JSON.stringify(index, undefined, 1).slice(0, -2);
          const lines = dispatches.map((d) => `  ${JSON.stringify(d)}`).join(',\n');
          await writeWhole(join(out, 'index.json'), `${head},\n "dispatches": [\n${lines}\n ]\n}\n`);
          for (const file of files.keys())
            context.print(`${file.padEnd(36)} ${dispatches.filter((d) => d.file === file).length} x`);
          context.print(
            `${files.size} texts, ${dispatches.length} dispatches: ${printableLine(join(out, 'index.json'))}`,
          );
          context.result({ out, files: [...files.keys()], dispatches: dispatches.length });
        } finally {
          gpu.dispose();
        }
      }),
    );
};

async function requireEmpty(folder: string): Promise<void> {
  const files = await readdir(folder).catch((e) => {
    if (e.code === 'ENOENT') return [];
    throw e;
  });
  if (files.length)
    throw new UsageError(
      `${folder} is not empty: what would be left of it could be taken for what runs; give another --out`,
    );
}
