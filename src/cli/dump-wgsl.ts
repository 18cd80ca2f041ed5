import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { printableLine } from '../base/printable.ts';
import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { checkSpecs } from '../checkpoint/specs.ts';
import type { Capabilities } from '../gpu/capabilities.ts';
import { openCheckpointFolder } from '../hub/checkpoint-folder.ts';
import { listKernels } from '../kernels/custom/listing.ts';
import { readConfig } from '../model/families/read-config.ts';
import type { ModelInput } from '../model/input.ts';
import { unreadTensors, weightSpecs } from '../model/load-model.ts';
import type { Model } from '../model/model.ts';
import { dryModel, recordStep } from '../model/plan/dry-run.ts';
import { storedFormat } from '../model/plan/price.ts';
import type { Size } from '../model/processor/anyres.ts';
import { Processor } from '../model/processor/processor.ts';
import type { WeightsChoice } from '../model/weight-formats.ts';
import { writeWhole } from '../platform/node-write.ts';
import type { Folder } from '../platform/types.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import { type KernelOptions, readKernels, withKernelOptions } from './kernel-file.ts';
import { announceGpu, collect, imageSize, integer, type ModelOptions, withCommonOptions } from './model.ts';

interface Options extends ModelOptions, KernelOptions {
  out: string;
  imageSize?: Size;
  tokens?: number;
  step?: boolean;
  names?: string[];
}

export const dumpWgslCommand: Register = (program, run) => {
  withKernelOptions(withCommonOptions(program.command('dump-wgsl')))
    .description(
      'Write the WGSL that runs for a checkpoint on this adapter: a file for each WGSL source, and index.json with every dispatch. Reads headers only; nothing is loaded or run.',
    )
    .option('--out <dir>', 'a new or empty folder', 'wgsl')
    .option(
      '--image-size <WxH>',
      'a prompt with an image of this size (default: 336x336 if the model takes images)',
      imageSize,
    )
    .option('--tokens <n>', 'a prompt of n tokens without images', integer(1))
    .option(
      '--step',
      'what runs for a generated token, the first after the prompt (greedy), instead of what runs for the prompt',
    )
    .option(
      '--names <glob>',
      'hook points to be returned: they select kernels (default: logits, of a step none); repeat for several',
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
        const { out, imageSize, tokens, step = false, names = step ? [] : ['logits'] } = options;
        if (imageSize && tokens) throw new UsageError('--image-size and --tokens are two kinds of prompt: give one');
        const kernels = await readKernels(options);
        await requireEmpty(out);
        const folder = await openCheckpointFolder(options.model);
        const gpu = await announceGpu(context);
        try {
          const model = (await recordable(folder, gpu.capabilities, options.weights)).with({ kernels });
          const input = tokens ? textOf(model, tokens) : await promptOf(model, folder, imageSize);
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

/** The model without its weights, of which the headers are read: their precision decides on kernels. */
async function recordable(folder: Folder, capabilities: Capabilities, weights?: WeightsChoice): Promise<Model> {
  const { config } = await readConfig(folder);
  const checkpoint = await openCheckpoint(folder);
  checkSpecs(checkpoint, weightSpecs(config), unreadTensors(config));
  return dryModel(config, storedFormat(checkpoint), capabilities, weights);
}

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

/** Some ids that are no placeholders. */
function textOf({ config: { text, vision } }: Model, tokens: number): ModelInput {
  let id = 0;
  while (id === vision?.imageTokenId || id === vision?.videoTokenId) id++;
  if (tokens > text.maxPositions)
    throw new UsageError(`--tokens ${tokens}: this model has ${text.maxPositions} positions`);
  return { inputIds: new Int32Array(tokens).fill(id), visuals: [] };
}

async function promptOf({ config }: Model, folder: Folder, size?: Size): Promise<ModelInput> {
  const processor = await Processor.load(folder, config);
  if (size && !config.vision) throw new UsageError('--image-size: this model takes no images; give --tokens');
  const { width, height } = size ?? { width: 336, height: 336 };
  const images = config.vision ? [{ width, height, data: new Uint8Array(width * height * 3) }] : [];
  const question = 'What is in the image?';
  // A model without a chat template is asked as it is.
  const prompt = processor.hasChatTemplate
    ? processor.chat(images.length, question)
    : `${images.length ? processor.image!.text : ''}${question}`;
  return processor.prepare({ prompt, images });
}
