import type { Register } from './command.ts';
import { type KernelOptions, readKernels, withKernelOptions } from './kernel-file.ts';
import { integer, number } from './model.ts';
import { openPrompt, type PromptOptions, withPromptOptions } from './prompt.ts';

interface Options extends PromptOptions, KernelOptions {
  maxNewTokens: number;
  temperature: number;
  topP: number;
  seed: number;
}

export const generateCommand: Register = (program, run) => {
  withKernelOptions(withPromptOptions(program.command('generate')))
    .description('Answer a prompt about images and videos, streamed; greedy unless a temperature is given.')
    .option('--max-new-tokens <n>', 'at most this many tokens', integer(1), 256)
    .option('--temperature <t>', '0 is greedy', number(0), 0)
    .option('--top-p <p>', 'draw from the likeliest tokens with this much probability', number(0, 1), 1)
    .option('--seed <n>', 'of the draws', integer(0), 0)
    .addHelpText(
      'after',
      `
Examples:
  headlight generate --image scene.png --prompt 'What is in the image?'
  headlight generate --image a.jpg --image b.jpg --prompt 'What differs?' --temperature 0.7 --seed 1
  headlight generate --video clip.mp4 --prompt 'What happens?' --model ~/models/Qwen2.5-VL-7B-Instruct
  headlight generate --image a.jpg --prompt 'What is this?' --edits edits.json   # [{"at": "blocks.3.attn.hook_z", "heads": [5], "set": 0}]
  headlight generate --image a.jpg --prompt 'What is this?' --kernel window.wgsl   # your attention in every layer, in every step
  headlight generate --image a.jpg --raw-prompt --prompt 'USER: <image>\\nWhat is this? ASSISTANT:' --json`,
    )
    .action(
      run<Options>(async (context, options) => {
        const kernels = await readKernels(options);
        const { model, input, edits } = await openPrompt(context, options);
        let text = '';
        const ids: number[] = [];
        const started = performance.now();
        for await (const piece of model.generate(input, {
          ...options,
          edits,
          kernels,
          signal: context.signal,
          onToken: (id) => ids.push(id),
        })) {
          text += piece;
          context.printPart(piece);
        }
        context.print('');
        const seconds = (performance.now() - started) / 1000;
        context.result({ text, tokens: ids, promptTokens: input.inputIds.length, seconds });
      }),
    );
};
