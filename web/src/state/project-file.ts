// The project's file: what page, command line and library all read.
import { batch } from '@preact/signals';
import { download } from '../parts/download.ts';
import { ask, classifierFile, fitClasses, forget, problem, rowOf, settings, work } from './engine.ts';
import { addClasses, addQueries, classes, clearProject, type NamedFile, queries, question } from './project.ts';

/** How project files are called. */
export const projectExtension = '.headlight';

/** Gives the user the project as a file. */
export async function saveProject(): Promise<void> {
  const labelled = classes.value.flatMap(({ name, pictures }) =>
    pictures.map((picture) => ({ ...rowOf(picture), label: name.trim() })),
  );
  const rows = [...labelled, ...queries.value.map(rowOf)];
  const request = { question: question.value, fit: settings.value, rows };
  const bytes = await work('writing the project', () => ask('saveProject', request));
  if (bytes) download(`project${projectExtension}`, bytes, 'application/octet-stream');
}

/** Puts a project's file in the place of what is there. Where its head vectors are those of the model, it is fitted. */
export async function openProject(name: string, bytes: Uint8Array): Promise<void> {
  const found = await work('reading the project', () => ask('openProject', { bytes, name }));
  if (!found) return;
  const byClass = new Map<string, NamedFile[]>();
  for (const { label, ...picture } of found.pictures)
    if (label !== undefined) byClass.set(label, [...(byClass.get(label) ?? []), picture]);
  batch(() => {
    forget();
    clearProject();
    question.value = found.question;
    settings.value = found.fit;
    classifierFile.value = undefined;
    addClasses(byClass);
    addQueries(found.pictures.filter(({ label }) => label === undefined));
    problem.value = found.note;
  });
  if (found.isKnown) await fitClasses();
}
