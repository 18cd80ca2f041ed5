import { readFileBytes } from '#platform';
import { describeAge, parseClassifier } from '../sav/classifier-file.ts';
import type { Example } from '../sav/features.ts';
import { extractFeatures } from '../sav/features.ts';
import { type PromptSetName, promptSetByName } from '../sav/prompt-sets.ts';
import { printableLine } from '../text/printable.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import { type DataOptions, featureStore, readData, withDataOptions } from './data.ts';
import { percent } from './experiments.ts';
import { checkFitted } from './fitted.ts';
import { type ModelOptions, openModel, withCommonOptions } from './model.ts';
import { answerOf, type RefusalOptions, refusalOf, withRefusalOptions } from './open-set.ts';
import { type PictureOptions, readPictures, withPictureOptions } from './prompt.ts';

interface Options extends ModelOptions, DataOptions, PictureOptions, RefusalOptions {
  classifier: string;
  data?: string;
  question?: string;
}

export const classifyCommand: Register = (program, run) => {
  withRefusalOptions(withPictureOptions(withDataOptions(withCommonOptions(program.command('classify')))), true)
    .description('Label images with a stored classifier: the label, the votes per class and per head.')
    .requiredOption('--classifier <file>', 'what fit has written')
    .option('--data <file>', 'queries, JSON Lines {image, question}; the answer is JSON Lines, a line a query')
    .option('--question <text>', 'one query: its text (default: the one the classifier was fitted with)')
    .addHelpText(
      'after',
      `
Examples:
  headlight classify --classifier pets.safetensors --image cat.jpg
  headlight classify --classifier pets.safetensors --image cat.jpg --none-of-these 0.01 --abstain 0.6
  headlight classify --classifier pets.safetensors --data queries.jsonl > labels.jsonl`,
    )
    .action(
      run<Options>(async (context, options) => {
        const isQuery = [options.image, options.video, options.question].some((given) => given !== undefined);
        if ((options.data === undefined) !== isQuery)
          throw new UsageError('give either --data or a query: --image, --video, --question (see --help)');
        const classifier = parseClassifier(await readFileBytes(options.classifier), options.classifier);
        const refusal = refusalOf(options);
        classifier.checkRefusal(refusal);
        const age = describeAge(classifier, options.classifier);
        if (age) context.note(age);
        const { data } = classifier;
        const set = promptSetByName(data.promptSet).name as PromptSetName;
        const examples = options.data
          ? await readData(options.data, { ...options, promptSet: set }, 'optional')
          : [await single(options, data.prompt)];
        const model = await openModel(context, options);
        checkFitted(context, classifier, options.classifier, model);
        const store = featureStore(options);
        const progress = context.progress('classifying', examples.length);
        try {
          for (const [i, example] of examples.entries()) {
            const { vectors } = await extractFeatures(model, [example], {
              maxLayer: classifier.maxLayer,
              store,
              signal: context.signal,
              onNotice: (m) => context.note(m),
            });
            const prediction = classifier.classify(vectors[0], { candidates: example.candidates, refusal });
            const { label, refused, winner, confidence, typicality, votes, heads } = prediction;
            progress.update(i + 1);
            const line = {
              source: example.source,
              label,
              ...(refused && { refused, winner }),
              confidence,
              typicality,
              votes: Object.fromEntries(data.labels.map((name, c) => [name, votes[c]])),
              heads: heads.map((h) => ({ layer: h.layer, head: h.head, vote: h.label, scores: h.scores })),
              truth: example.label,
            };
            if (context.json || options.data) context.jsonLine(line);
            else {
              context.print(
                `${printableLine(answerOf(prediction))}${confidence === undefined ? '' : `  (confidence ${percent(confidence)})`}`,
              );
              for (const [c, name] of data.labels.entries())
                context.print(`  ${String(votes[c]).padStart(3)} of ${heads.length} heads  ${printableLine(name)}`);
            }
          }
        } finally {
          progress.stop();
        }
      }),
    );
};

async function single(options: Options, fitted: string | undefined): Promise<Example> {
  const prompt = options.question ?? fitted;
  if (prompt === undefined) throw new UsageError('this classifier was fitted with several questions: give --question');
  const { images, imageNames, videos } = await readPictures(options);
  return {
    source: [...imageNames, ...(options.video ?? [])].join(', ') || prompt,
    prompt,
    images: imageNames,
    loadImages: async () => images,
    ...(videos.length && { loadVideos: async () => videos }),
  };
}
