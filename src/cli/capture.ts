import { InvalidArgumentError } from 'commander';
import { tensorOf, writeSafetensors } from '../checkpoint/safetensors-writer.ts';
import type { PosSlice } from '../model/interventions/positions.ts';
import type { Activation } from '../model/run/activations.ts';
import { writeWhole } from '../platform/node-write.ts';
import type { Register } from './command.ts';
import { outputFile } from './files.ts';
import { reportProfile, withProfileOption } from './profile.ts';
import { openPrompt, type PromptOptions, withPromptOptions } from './prompt.ts';
import { RunProgress } from './run-progress.ts';

interface Options extends PromptOptions {
  names: string[];
  pos?: PosSlice;
  out: string;
}

export const captureCommand: Register = (program, run) => {
  withProfileOption(withPromptOptions(program.command('capture')))
    .description('Write activations of one prompt to a safetensors file that Python opens.')
    .requiredOption(
      '--names <glob>',
      'what to write: hook points, logits or pixel_values; * matches anything; repeat or separate with commas',
      names,
    )
    .requiredOption('--out <file>', 'the safetensors file to write', outputFile)
    .option(
      '--pos <position>',
      'which positions of the language model: last, a number (negative from the end), or start:end (default: all)',
      position,
    )
    .addHelpText(
      'after',
      `
The file also holds input_ids (int32, after image-token expansion).
Examples:
  headlight capture --image scene.png --prompt 'What is in the image?' --names 'blocks.*.attn.hook_z' --pos last --out z.safetensors
  headlight capture --image scene.png --prompt 'Count.' --names 'vision.blocks.2.*,logits,pixel_values' --out acts.safetensors
  headlight capture --image scene.png --prompt 'Count.' --kernel entropy.mjs --names 'blocks.*.attn.hook_entropy' --out entropy.safetensors
In Python: safetensors.numpy.load_file('z.safetensors')['blocks.0.attn.hook_z']`,
    )
    .action(
      run<Options>(async (context, options) => {
        const { model, input } = await openPrompt(context, options);
        const hooks = options.names.filter((name) => name !== 'pixel_values');
        const which = { namesFilter: hooks, posSlice: options.pos };
        const progress = new RunProgress(context, 'running the prompt');
        const found = new Map<string, Activation>();
        try {
          const watched = model.with({ onProgress: progress.update });
          if (hooks.length) for (const [name, each] of await watched.runWithCache(input, which)) found.set(name, each);
        } finally {
          progress.stop();
        }
        if (hooks.length < options.names.length) found.set('pixel_values', model.pixelValues(input));
        context.signal.throwIfAborted();
        const tensors = [...found].map(([name, { data, shape }]) => tensorOf(name, shape, data));
        tensors.push(tensorOf('input_ids', [input.inputIds.length], Int32Array.from(Array.from(input.inputIds))));
        await writeWhole(options.out, writeSafetensors(tensors, { modelId: model.modelId, prompt: options.prompt }));
        for (const { name, shape } of tensors) context.print(`${name}  [${shape}]`);
        context.result({
          file: options.out,
          tensors: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
          ...reportProfile(context, model),
        });
      }),
    );
};

function names(value: string, before: string[] = []): string[] {
  return [...before, ...value.split(',').map((s) => s.trim())];
}

/** For commander: last, a position, or start:end. */
export function position(text: string): PosSlice {
  if (text === 'last') return -1;
  const parts = text.split(':');
  const numbers = parts.map((p) => (p === '' ? undefined : Number(p)));
  if (parts.length > 2 || numbers.some((n) => n !== undefined && !Number.isInteger(n)))
    throw new InvalidArgumentError('Give last, a position, or start:end.');
  return parts.length === 1 ? numbers[0]! : [numbers[0] ?? 0, numbers[1]];
}
