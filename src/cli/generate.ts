import * as s from '../base/schema.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import { readJsonFile } from './files.ts';
import { integer, number, withCacheOption } from './model.ts';
import { reportProfile, withProfileOption } from './profile.ts';
import { openPrompt, type PromptOptions, withPromptOptions } from './prompt.ts';
import { RunProgress } from './run-progress.ts';

interface Options extends PromptOptions {
  maxNewTokens?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  seed: number;
  generationConfig?: string;
}

export const generateCommand: Register = (program, run) => {
  withCacheOption(withProfileOption(withPromptOptions(program.command('generate'))))
    .description(
      'Answer a prompt about images and videos. The text appears while it is generated. The checkpoint’s generation_config.json says how: greedy, or sampled where it has do_sample (headlight inspect shows it). Options replace what it says.',
    )
    .option(
      '--max-new-tokens <n>',
      'generate at most this many tokens (default: max_new_tokens of the checkpoint, or 256)',
      integer(1),
    )
    .option('--temperature <t>', 'how freely to draw tokens; 0 is greedy (default: as in the checkpoint)', number(0))
    .option(
      '--top-p <p>',
      'draw from the likeliest tokens that have this much probability together, 0 to 1 (default: as in the checkpoint, or 1)',
      number(0, 1),
    )
    .option(
      '--top-k <n>',
      'draw from this many of the likeliest tokens; 0: from all (default: as in the checkpoint, or 50)',
      integer(0),
    )
    .option(
      '--generation-config <file>',
      'a JSON file of settings that replace those of generation_config.json; null takes a setting out',
    )
    .option('--seed <n>', 'the seed of the draws when sampling', integer(0), 0)
    .addHelpText(
      'after',
      `
Examples:
  headlight generate --image scene.png --prompt 'What is in the image?'
  headlight generate --image a.jpg --image b.jpg --prompt 'What differs?' --temperature 0.7 --seed 1
  headlight generate --video clip.mp4 --prompt 'What happens?' --model ~/models/Qwen2.5-VL-7B-Instruct
  headlight generate --image a.jpg --prompt 'What is this?' --edits edits.json   # [{"at": "blocks.3.attn.hook_z", "heads": [5], "set": 0}]
  headlight generate --image a.jpg --prompt 'What is this?' --generation-config mine.json   # {"repetition_penalty": 1.2, "do_sample": null}
  headlight generate --image a.jpg --prompt 'What is this?' --kernel window.wgsl   # your attention in every layer, in every step
  headlight generate --image a.jpg --prompt 'What is this?' --model ~/models/llava-1.5-7b-hf --weights q4   # 4 GiB instead of 13
  headlight generate --image a.jpg --prompt 'What is this?' --kv-cache f32   # as exact as a run of the whole text
  headlight generate --image a.jpg --raw-prompt --prompt $'USER: <image>\\nWhat is this? ASSISTANT:' --json`,
    )
    .action(
      run<Options>(async (context, options) => {
        const generationConfig = await readSettings(options.generationConfig);
        const { model, input } = await openPrompt(context, options);
        const { maxNewTokens, temperature, topP, topK, seed } = options;
        const sampling = { maxNewTokens, temperature, topP, topK, seed };
        let text = '';
        const progress = new RunProgress(context, 'reading the prompt');
        const ids: number[] = [];
        const started = performance.now();
        const pieces = model.with({ onProgress: progress.update }).generate(input, {
          ...sampling,
          generationConfig,
          onToken(id) {
            progress.stop();
            ids.push(id);
          },
        });
        try {
          for await (const piece of pieces) {
            text += piece;
            context.printPart(piece);
          }
        } finally {
          progress.stop();
        }
        context.print('');
        const seconds = (performance.now() - started) / 1000;
        const profile = reportProfile(context, model);
        context.result({ text, tokens: ids, promptTokens: input.inputIds.length, seconds, ...profile });
      }),
    );
};

async function readSettings(file: string | undefined): Promise<Record<string, unknown> | undefined> {
  if (file === undefined) return undefined;
  const { value, problems } = s.check(s.looseObject({}), await readJsonFile(file));
  if (problems) throw new UsageError(`${file}: expected an object of settings, as in generation_config.json`);
  return value;
}
