// Pictures and folders as browsers give them: dropped, chosen or pasted.
import { isHiddenName, isPictureName } from 'headlight-vlm/sav';
import type { NamedFile } from './project.ts';

/** A file with its path below what was dropped. */
interface Found {
  readonly path: readonly string[];
  readonly file: File;
}

/** What was given: pictures alone, or pictures by class. */
export interface Given {
  readonly loose: readonly NamedFile[];
  readonly byClass: ReadonlyMap<string, readonly NamedFile[]>;
}

/** Files of an `<input type="file">`, with or without `webkitdirectory`. */
export const givenFiles = (files: Iterable<File>): Given =>
  sorted(
    [...files].map((file) => ({
      path: file.webkitRelativePath ? file.webkitRelativePath.split('/').slice(1, -1) : [],
      file,
    })),
  );

/** What a drop or a paste brings. Must be called while the event is being handled. */
export async function givenItems(items: DataTransferItemList): Promise<Given> {
  const entries: FileSystemEntry[] = [];
  const files: File[] = [];
  for (const item of Array.from(items)) {
    if (item.kind !== 'file') continue;
    const entry = item.webkitGetAsEntry?.();
    const file = item.getAsFile();
    if (entry?.isDirectory) entries.push(entry);
    else if (file) files.push(file);
  }
  const found: Found[] = files.map((file) => ({ path: [], file }));
  const folders = await Promise.all(entries.map((entry) => walk(entry as FileSystemDirectoryEntry, [])));
  // One folder holds the classes, or is one; of several folders each is a class.
  for (const [i, inside] of folders.entries()) {
    const isWhole = folders.length === 1 && inside.some(({ path }) => path.length > 0);
    for (const { path, file } of inside) found.push({ path: isWhole ? path : [entries[i].name, ...path], file });
  }
  return sorted(found);
}

/** The first folder below is the class. */
function sorted(found: readonly Found[]): Given {
  const byClass = new Map<string, NamedFile[]>();
  const loose: NamedFile[] = [];
  for (const { path, file } of found) {
    if (isHiddenName(file.name) || path.some(isHiddenName)) continue;
    if (!isPictureName(file.name) && !file.type.startsWith('image/')) continue;
    const named = { name: [...path, file.name].join('/'), file };
    if (path.length === 0) loose.push(named);
    else byClass.set(path[0], [...(byClass.get(path[0]) ?? []), named]);
  }
  const names = [...byClass.keys()].sort();
  const byName = (a: NamedFile, b: NamedFile) => (a.name < b.name ? -1 : 1);
  return { loose: loose.sort(byName), byClass: new Map(names.map((name) => [name, byClass.get(name)!.sort(byName)])) };
}

async function walk(folder: FileSystemDirectoryEntry, path: readonly string[]): Promise<Found[]> {
  const reader = folder.createReader();
  const found: Found[] = [];
  for (;;) {
    // A reader gives some entries at a time, and none at the end.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return found;
    for (const entry of entries) {
      if (isHiddenName(entry.name)) continue;
      if (entry.isDirectory) found.push(...(await walk(entry as FileSystemDirectoryEntry, [...path, entry.name])));
      else
        found.push({
          path,
          file: await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)),
        });
    }
  }
}
