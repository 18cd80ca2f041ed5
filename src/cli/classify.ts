import { type Command, InvalidArgumentError } from 'commander';
import { readFileBytes } from '#platform';
import { writeWhole } from '../platform/node-write.ts';
import { describeAge, parseClassifier } from '../sav/classifier-file.ts';
import { eachFeature } from '../sav/features.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import { dataKinds, featureStore, withDataOptions, withSharePrefixOption } from './data.ts';
import { outputFile } from './files.ts';
import { checkFitted } from './fitted.ts';
import { columnsOf, type Labelled, labelJson, labelLine, labelsCsv, voteLines } from './labels-output.ts';
import { type ModelOptions, openModel, withCommonOptions } from './model.ts';
import { type RefusalOptions, refusalOf, withRefusalOptions } from './open-set.ts';
import { withPictureOptions } from './prompt.ts';
import { checkQueryOptions, type QueryOptions, readQueries } from './queries.ts';

interface Options extends ModelOptions, QueryOptions, RefusalOptions {
  classifier: string;
  votes?: boolean;
  /** true: on standard output, in the place of lines for people. */
  csv?: string | true;
}

export const classifyCommand: Register = (program, run) => {
  withSharePrefixOption(
    withRefusalOptions(withPictureOptions(withDataOptions(withCommonOptions(program.command('classify')), true)), true),
  )
    .description('Label pictures with a stored classifier: path, label and confidence, a line each.')
    .argument('[pictures...]', 'pictures, and folders of them: a query each')
    .requiredOption('--classifier <file>', 'the classifier, a file that fit has written; it knows its question too')
    .option('--data <data>', `queries as rows: ${dataKinds}; of a folder, all pictures in it`)
    .option('--votes', 'also show how many heads vote for each label; with --json, also the scores of every head')
    .option(
      '--csv [file]',
      'also write path, label and confidence as CSV; to standard output where no file is given',
      csvFile,
    )
    .addHelpText(
      'after',
      `
Lines are columns on a terminal and tab-separated in a pipe; --json writes an object a line. A classifier that was fitted on
one picture an example takes each --image as a query; one that was fitted on two takes two of them together.
Examples:
  headlight classify --classifier pets.safetensors *.jpg
  headlight classify --classifier pets.safetensors holiday/ --csv labels.csv
  headlight classify --classifier pets.safetensors --image cat.jpg --votes
  headlight classify --classifier pets.safetensors *.jpg --none-of-these 0.01 --abstain 0.6
  headlight classify --classifier pets.safetensors --data queries.jsonl --json > labels.jsonl
  headlight classify --classifier answers.safetensors --data questions.jsonl --share-prefix`,
    )
    .action((pictures: string[], options: Options, command: Command) => classify({ ...options, pictures }, command));

  const classify = run<Options>(async (context, options) => {
    checkQueryOptions(options);
    const { csv, votes = false } = options;
    const isCsv = csv === true;
    if (isCsv && context.json) throw new UsageError('--json and --csv without a file both want standard output');
    const classifier = parseClassifier(await readFileBytes(options.classifier), options.classifier);
    const refusal = refusalOf(options);
    classifier.checkRefusal(refusal);
    const age = describeAge(classifier, options.classifier);
    if (age) context.note(age);
    const { data } = classifier;
    const examples = await readQueries(context, options, classifier);
    const others = examples.filter(({ prompt }) => data.prompt !== undefined && prompt !== data.prompt).length;
    if (others)
      context.note(`${others} of ${examples.length} queries ask something else than the training examples did`);
    const model = await openModel(context, options);
    checkFitted(context, classifier, options.classifier, model);
    const store = featureStore(options);
    const truth = examples.some(({ label }) => label !== undefined);
    const columns = process.stdout.isTTY ? columnsOf(examples, data.labels) : undefined;
    const rows: Labelled[] = [];
    const print = (row: Labelled, first: boolean) => {
      if (context.json) context.jsonLine(labelJson(data, row, votes));
      else if (isCsv) context.printPart(labelsCsv([row], { header: first, truth }));
      else {
        context.print(labelLine(row, columns));
        if (votes) for (const line of voteLines(data, row.prediction)) context.print(line);
      }
      if (typeof csv === 'string') rows.push(row);
    };
    // On a terminal the lines say how far it is, and a bar would write over them.
    const progress = columns ? undefined : context.progress('classifying', examples.length);
    try {
      const ready = new Map<number, Labelled>(); // whose lines wait for those before them
      let printed = 0;
      const found = eachFeature(model, examples, {
        maxLayer: classifier.maxLayer,
        sharePrefix: options.sharePrefix,
        store,
        signal: context.signal,
        onNotice: (message) => context.note(message),
        onProgress: (done) => progress?.update(done),
      });
      for await (const [i, vectors] of found) {
        const example = examples[i];
        const { candidates } = example;
        ready.set(i, { example, prediction: classifier.classify(vectors, { candidates, refusal }) });
        for (let row = ready.get(printed); row; row = ready.get(printed)) {
          ready.delete(printed);
          print(row, printed++ === 0);
        }
      }
    } finally {
      progress?.stop();
    }
    if (typeof csv === 'string') {
      await writeWhole(csv, labelsCsv(rows, { header: true, truth }));
      context.note(`written: ${csv}`);
    }
  });
};

/** A name that ends otherwise is rather a picture, which `--csv *.jpg` would have taken for the file to write. */
function csvFile(file: string): string {
  if (!/\.(csv|txt)$/i.test(file))
    throw new InvalidArgumentError('Name a .csv file, or put --csv behind the pictures.');
  return outputFile(file);
}
