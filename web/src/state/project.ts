// What the user has put in: a question, classes with their pictures, and pictures to classify.
import { batch, computed, signal } from '@preact/signals';

/** A picture that was dropped, chosen, pasted or taken. */
export interface Picture {
  readonly id: number;
  readonly name: string;
  readonly file: Blob;
  /** Where an `<img>` finds it. */
  readonly url: string;
}

/** Pictures that have one label. */
export interface PictureClass {
  readonly id: number;
  readonly name: string;
  readonly pictures: readonly Picture[];
}

/** A named file, as drops and inputs give it. */
export interface NamedFile {
  readonly name: string;
  readonly file: Blob;
}

let lastId = 0;

/** Ids of what was kept are taken. */
export const nextIdAfter = (id: number): void => {
  lastId = Math.max(lastId, id);
};

const emptyClass = (name: string): PictureClass => ({ id: ++lastId, name, pictures: [] });

/** What the model is asked about every picture. */
export const question = signal('What is in the image?');
export const classes = signal<readonly PictureClass[]>([emptyClass('class 1'), emptyClass('class 2')]);
export const queries = signal<readonly Picture[]>([]);

/** Training pictures by id, with their class. */
export const trainingById = computed(
  () =>
    new Map(classes.value.flatMap((own) => own.pictures.map((picture) => [picture.id, { ...own, picture }] as const))),
);

/** Changes with whatever a fit depends on. */
export const trainingKey = computed(() =>
  JSON.stringify([question.value, classes.value.map(({ name, pictures }) => [name, pictures.map(({ id }) => id)])]),
);

const filledClasses = computed(() => classes.value.filter(({ pictures }) => pictures.length > 0));

/** Why there can be no fit yet; undefined where there can. */
export const missing = computed(() =>
  question.value.trim() && filledClasses.value.length < 2 ? 'Put pictures into at least two classes.' : misnamed.value,
);

/** What has no name, or another's; undefined where all is well. */
export const misnamed = computed(() => {
  if (!question.value.trim()) return 'Write a question.';
  const names = filledClasses.value.map(({ name }) => name.trim());
  if (names.includes('')) return 'Give every class a name.';
  const twin = names.find((name, i) => names.indexOf(name) !== i);
  return twin === undefined ? undefined : `Two classes are called “${twin}”.`;
});

const pictureOf = ({ name, file }: NamedFile): Picture => ({
  ...{ id: ++lastId, name, file, url: URL.createObjectURL(file) },
});

const change = (id: number, changed: (own: PictureClass) => PictureClass) => {
  classes.value = classes.value.map((own) => (own.id === id ? changed(own) : own));
};

export const renameClass = (id: number, name: string) => change(id, (own) => ({ ...own, name }));

export function addClass(name = `class ${classes.value.length + 1}`, files: readonly NamedFile[] = []): void {
  classes.value = [...classes.value, { ...emptyClass(name), pictures: files.map(pictureOf) }];
}

export function removeClass(id: number): void {
  for (const { url } of classes.value.find((own) => own.id === id)?.pictures ?? []) URL.revokeObjectURL(url);
  classes.value = classes.value.filter((own) => own.id !== id);
}

export const addPictures = (id: number, files: readonly NamedFile[]) =>
  change(id, (own) => ({ ...own, pictures: [...own.pictures, ...files.map(pictureOf)] }));

/** Takes a training picture out of its class. */
export function removePicture(id: number): void {
  const found = trainingById.value.get(id);
  if (!found) return;
  URL.revokeObjectURL(found.picture.url);
  change(found.id, (own) => ({ ...own, pictures: own.pictures.filter((picture) => picture.id !== id) }));
}

/** Puts a training picture, or a query, into a class. */
export function movePicture(id: number, to: number): void {
  const query = queries.value.find((picture) => picture.id === id);
  const found = trainingById.value.get(id);
  const picture = query ?? found?.picture;
  if (!picture || found?.id === to) return;
  batch(() => {
    if (query) queries.value = queries.value.filter((own) => own !== query);
    if (found) change(found.id, (own) => ({ ...own, pictures: own.pictures.filter((own) => own !== picture) }));
    change(to, (own) => ({ ...own, pictures: [...own.pictures, picture] }));
  });
}

/** Classes by name, in the place of empty ones; pictures of a class that is there join it. */
export function addClasses(found: ReadonlyMap<string, readonly NamedFile[]>): void {
  batch(() => {
    classes.value = classes.value.filter(({ name, pictures }) => pictures.length > 0 || found.has(name));
    for (const [name, files] of found) {
      const own = classes.value.find((each) => each.name === name);
      if (own) addPictures(own.id, files);
      else addClass(name, files);
    }
  });
}

export function addQueries(files: readonly NamedFile[]): void {
  queries.value = [...queries.value, ...files.map(pictureOf)];
}

export function removeQuery(id: number): void {
  for (const { url } of queries.value.filter((own) => own.id === id)) URL.revokeObjectURL(url);
  queries.value = queries.value.filter((own) => own.id !== id);
}

/** Everything but the question. */
export function clearProject(): void {
  for (const { pictures } of classes.value) for (const { url } of pictures) URL.revokeObjectURL(url);
  for (const { url } of queries.value) URL.revokeObjectURL(url);
  batch(() => {
    classes.value = [];
    queries.value = [];
  });
}
