import { openFolder } from '#platform';
import { printableLine } from '../base/printable.ts';
import * as s from '../base/schema.ts';
import { version } from '../base/version.ts';
import { type ReportTask, renderReport } from '../charts/report/report.ts';
import { parse, requireJson } from '../model/config/json.ts';
import { writeWhole } from '../platform/node-write.ts';
import { readExamples } from '../sav/data.ts';
import type { Task, TaskResult } from '../sav/task.ts';
import type { Register } from './command.ts';
import { UsageError } from './context.ts';
import { common, headCount } from './data.ts';
import { runTaskHere, summaryCells, summaryHeader, summaryJson } from './experiments.ts';
import { outputFile } from './files.ts';
import { type ModelOptions, modelName, openModel, withCommonOptions } from './model.ts';
import { embeddedCheckpoint } from './package-info.ts';
import { reportTask } from './report-task.ts';
import { table } from './table.ts';

interface Options extends ModelOptions {
  out: string;
  heads: number | 'auto';
  tasks?: string;
}

const taskList = s.object({
  tasks: s.array(s.object({ name: s.string(), title: s.string(), description: s.string() })),
});

export const demoCommand: Register = (program, run) => {
  withCommonOptions(program.command('demo'))
    .description(
      'Run the main job on the examples that come with the package: fit SAVs, classify the queries, and compare with what the model itself answers. Writes an HTML report.',
    )
    .option('--out <file>', 'the HTML report to write', outputFile, 'headlight-report.html')
    .option(
      '--heads <k>',
      'attention heads that vote: a number, or auto (by leave-one-out on the training rows)',
      headCount,
      'auto',
    )
    .option('--tasks <names>', 'only these tasks, by their names, separated by commas (default: all)')
    .addHelpText(
      'after',
      `
Examples:
  headlight demo
  headlight demo --tasks novel-words,warm-cool --heads 10
  headlight demo --model ~/models/llava-1.5-7b-hf --out 7b.html`,
    )
    .action(
      run<Options>(async (context, options) => {
        const started = performance.now();
        const tasks = await shippedTasks(options.tasks?.split(','));
        const model = await openModel(context, options);
        const results: TaskResult[] = [];
        for (const task of tasks)
          results.push(
            await runTaskHere(context, model, task, {
              k: options.heads,
              zeroShot: true,
              prompt: common(task.train, ({ prompt }) => prompt),
            }),
          );
        const sections: ReportTask[] = [];
        for (const result of results) sections.push(await reportTask(context, model, result, 8));
        const seconds = (performance.now() - started) / 1000;

        const { capabilities } = model.gpu;
        const report = await renderReport({
          title: 'Headlight: few-shot classification by attention heads',
          introduction:
            'A frozen vision-language model sees about 20 labelled examples a class. A few of its attention heads are chosen, and their outputs at the last prompt token vote for a class.',
          facts: [
            {
              name: 'model',
              value: `${modelName(options, model)}, ${model.nLayers} layers x ${model.nHeads} heads`,
            },
            { name: 'adapter', value: `${capabilities.description}${capabilities.software ? ' (software)' : ''}` },
            {
              name: 'made',
              value: `${new Date().toISOString().slice(0, 10)} by headlight ${version} demo, in ${seconds.toFixed(0)} s`,
            },
          ],
          tasks: sections,
        });
        await writeWhole(options.out, report);
        context.print(table(summaryHeader, results.map(summaryCells)));
        context.print(`\n${seconds.toFixed(0)} s. Report: ${printableLine(options.out)}`);
        for (const { task, warnings } of results)
          for (const warning of warnings) context.note(`${task.name}: ${warning}`);
        context.result({ report: options.out, seconds, modelId: model.modelId, tasks: results.map(summaryJson) });
      }),
    );
};

/** The tasks that come with the embedded checkpoint. @throws UsageError for a name that is none of them. */
async function shippedTasks(wanted: readonly string[] | undefined): Promise<Task[]> {
  const folder = await openFolder(`${embeddedCheckpoint}/tasks`);
  const { tasks } = parse(taskList, await requireJson(folder, 'tasks.json'), 'tasks.json');
  const unknown = wanted?.filter((name) => !tasks.some((t) => t.name === name)) ?? [];
  if (unknown.length)
    throw new UsageError(
      `--tasks: there is no ${unknown.join(', ')}; there are ${tasks.map((t) => t.name).join(', ')}`,
    );
  return Promise.all(
    tasks
      .filter(({ name }) => wanted?.includes(name) ?? true)
      .map(async ({ name, description }) => ({
        name,
        description,
        train: await readExamples(folder, `${name}.train.jsonl`),
        test: await readExamples(folder, `${name}.test.jsonl`),
      })),
  );
}
