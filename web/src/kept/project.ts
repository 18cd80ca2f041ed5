// The project outlives a reload: it is written a moment after each change, and read at the start.
import { batch, effect, signal } from '@preact/signals';
import { classifierFile, embedded, fitted, opened, settings } from '../state/engine.ts';
import { classes, nextIdAfter, type Picture, queries, question } from '../state/project.ts';
import { database, type KeptProject } from './database.ts';

/** Why nothing is kept; undefined while it is. */
export const notKept = signal<string | undefined>(undefined);

/** Milliseconds of peace before a change is written. */
const peace = 400;

const allPictures = () => [...classes.value.flatMap(({ pictures }) => pictures), ...queries.value];

/** Pictures that are kept already. */
const written = new Set<number>();

/** Puts back what was there when the page was closed. @returns whether there was a classifier of its pictures. */
export async function restoreProject(): Promise<boolean> {
  try {
    const db = await database();
    const project = await db.get('projects', 'project');
    if (!project) return false;
    const kept = new Map<number, Picture>();
    for (const id of [...project.classes.flatMap(({ pictures }) => pictures), ...project.queries]) {
      const found = await db.get('pictures', id);
      if (found) kept.set(id, { ...found, id, url: URL.createObjectURL(found.file) });
    }
    const there = (ids: readonly number[]) => ids.flatMap((id) => kept.get(id) ?? []);
    batch(() => {
      question.value = project.question;
      classes.value = project.classes.map((own) => ({ ...own, pictures: there(own.pictures) }));
      queries.value = there(project.queries);
      settings.value = project.fit;
      classifierFile.value = project.classifier;
      if (project.model) opened.value = project.model;
      nextIdAfter(Math.max(0, ...kept.keys(), ...project.classes.map(({ id }) => id)));
    });
    for (const id of kept.keys()) written.add(id);
    return project.fitted;
  } catch (error) {
    notKept.value = (error as Error).message;
    return false;
  }
}

/** Writes the project whenever it has changed. */
export function keepProject(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const project: KeptProject = {
      question: question.value,
      classes: classes.value.map(({ id, name, pictures }) => ({ id, name, pictures: pictures.map((own) => own.id) })),
      queries: queries.value.map(({ id }) => id),
      fit: settings.value,
      fitted: fitted.value !== undefined,
      model: typeof opened.value.at === 'string' && opened.value !== embedded ? opened.value : undefined,
      classifier: classifierFile.value,
    };
    clearTimeout(timer);
    timer = setTimeout(() => void write(project), peace);
  });
}

async function write(project: KeptProject): Promise<void> {
  try {
    const db = await database();
    const pictures = allPictures();
    const wanted = new Set(pictures.map(({ id }) => id));
    const change = db.transaction(['projects', 'pictures'], 'readwrite');
    const store = change.objectStore('pictures');
    const added = pictures.filter(({ id }) => !written.has(id));
    const gone = [...written].filter((id) => !wanted.has(id));
    await Promise.all([
      ...added.map(({ id, name, file }) => store.put({ name, file }, id)),
      ...gone.map((id) => store.delete(id)),
      change.objectStore('projects').put(project, 'project'),
      change.done,
    ]);
    for (const { id } of added) written.add(id);
    for (const id of gone) written.delete(id);
    notKept.value = undefined;
  } catch (error) {
    notKept.value = (error as Error).message;
  }
}
