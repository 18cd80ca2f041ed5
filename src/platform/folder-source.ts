import { FileError } from './errors.ts';
import { checkName, checkRange } from './file-name.ts';
import type { Folder, FolderEntry, FolderSource } from './types.ts';

/** The checkpoint that comes with the package. */
const embeddedName = 'tiny-llava';

/**
 * The folder that a source names.
 * @param open opens a path or URL.
 * @param root where the package's own files are, for `tiny-llava`; a folder of that name is `./tiny-llava`.
 * @throws FileError for what is no source, and where the folder is not there.
 */
export async function folderOf(
  source: FolderSource,
  open: (location: string | URL) => Promise<Folder>,
  root: URL,
): Promise<Folder> {
  if (source === embeddedName) return open(new URL(`weights/${embeddedName}/`, root));
  if (typeof source === 'string' || source instanceof URL) return open(source);
  if (source && typeof source === 'object') {
    if ('read' in source && 'has' in source) return source;
    if (Symbol.iterator in source) return folderOfFiles([...source]);
  }
  throw new FileError(
    `${source === null ? 'null' : typeof source} is no checkpoint: give a path, a URL, "${embeddedName}", the files of a folder (File objects), or what openFolder returns`,
  );
}

/** Files as a page's `<input type="file" webkitdirectory>` gives them, by their paths below the folder that was picked. */
function folderOfFiles(files: readonly File[]): Folder {
  const found = new Map<string, File>();
  for (const file of files) {
    if (!(file instanceof Blob && typeof file.name === 'string'))
      throw new FileError(
        'the files of a checkpoint must be File objects, which have names; a Blob has none: new File([blob], name)',
      );
    found.set(file.webkitRelativePath?.split('/').slice(1).join('/') || file.name, file);
  }
  const location = 'the given files';
  const get = (name: string): File => {
    const file = found.get(checkName(name, location));
    if (!file) throw new FileError(`${name}: there is no such file among ${location}`);
    return file;
  };
  return {
    location,
    has: async (name) => found.has(name),
    list: async (name) => listOf([...found.keys()], name),
    size: async (name) => get(name).size,
    read: async (name, start = 0, end) => {
      const file = get(name);
      checkRange(name, start, end ?? file.size, file.size);
      return new Uint8Array(await file.slice(start, end).arrayBuffer());
    },
  };
}

/** What stands in a subfolder, of files by their paths. */
function listOf(paths: readonly string[], name: string): FolderEntry[] {
  const within =
    name === ''
      ? paths
      : paths.filter((path) => path.startsWith(`${name}/`)).map((path) => path.slice(name.length + 1));
  const kinds = new Map(within.map((path) => [path.split('/')[0], path.includes('/')] as const));
  return [...kinds].map(([entry, isFolder]) =>
    isFolder
      ? { name: entry, kind: 'folder', realPath: name === '' ? entry : `${name}/${entry}` }
      : { name: entry, kind: 'file' },
  );
}
