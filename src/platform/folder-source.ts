import type { Folder, FolderSource, PickedFolder } from './types.ts';

/** The checkpoint that comes with the package. */
const embeddedName = 'tiny-llava';

/**
 * The folder that a source names.
 * @param open opens what `openFolder` takes.
 * @param root where the package's own files are, for `tiny-llava`; a folder of that name is `./tiny-llava`.
 * @throws FileError for what is no source, and where the folder is not there.
 */
export async function folderOf(
  source: FolderSource,
  open: (location: string | URL | PickedFolder) => Promise<Folder>,
  root: URL,
): Promise<Folder> {
  if (source === embeddedName) return open(new URL(`weights/${embeddedName}/`, root));
  return isFolder(source) ? source : open(source);
}

const isFolder = (source: FolderSource): source is Folder =>
  typeof source === 'object' && source !== null && 'read' in source && 'has' in source;

/** A folder as a page got it. Its code is loaded with the first one. @throws FileError for what is none. */
export async function openPicked(given: PickedFolder): Promise<Folder> {
  const { pickedFolder } = await import('./picked-folder.ts');
  return pickedFolder(given);
}
