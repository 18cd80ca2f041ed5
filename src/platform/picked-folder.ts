// Folders as pages get them: picked, dropped, or the browser's own.
import { FileError } from './errors.ts';
import { checkName, checkRange } from './file-name.ts';
import type { Folder, FolderEntry, PickedFolder } from './types.ts';

/** How the files of a folder are found. */
interface Found {
  readonly location: string;
  /** Undefined where there is none of the name. */
  file(name: string): Promise<File | undefined>;
  list(name: string): Promise<FolderEntry[]>;
}

/** @throws FileError for what is none. */
export function pickedFolder(given: PickedFolder): Folder {
  if (given && typeof given === 'object') {
    if ('getFileHandle' in given) return folderOf(foundByHandle(given));
    if ('createReader' in given) return folderOf(foundByEntry(given));
    if (Symbol.iterator in given) return folderOf(foundInList([...given]));
  }
  throw new FileError(
    `${given === null ? 'null' : typeof given} is no checkpoint and no folder: give a path, a URL, "tiny-llava", the files of a folder (File objects), a directory handle, or what openFolder returns`,
  );
}

function folderOf({ location, file, list }: Found): Folder {
  const find = async (name: string) => file(checkName(name, location)).catch(unreadable(name));
  const get = async (name: string): Promise<File> => {
    const found = await find(name);
    if (!found) throw new FileError(`${name}: there is no such file in ${location}`);
    return found;
  };
  return {
    location,
    has: async (name) => (await find(name)) !== undefined,
    size: async (name) => (await get(name)).size,
    read: async (name, start = 0, end) => {
      const found = await get(name);
      checkRange(name, start, end ?? found.size, found.size);
      return new Uint8Array(await found.slice(start, end).arrayBuffer().catch(unreadable(name)));
    },
    list: async (name) => list(name === '' ? '' : checkName(name, location)).catch(unreadable(name || location)),
  };
}

const unreadable = (name: string) => (e: Error) => {
  throw e instanceof FileError
    ? e
    : new FileError(
        `${name}: it cannot be read (${e.message}): it may have changed or moved since it was picked, be too large for this browser to hold, or not be allowed to this page`,
      );
};

/** Of files by their paths below the folder that was picked, as `<input type="file" webkitdirectory>` gives them. */
function foundInList(files: readonly File[]): Found {
  const found = new Map<string, File>();
  const tops = new Set<string>();
  for (const file of files) {
    if (!(file instanceof Blob && typeof file.name === 'string'))
      throw new FileError(
        'the files of a folder must be File objects, which have names; a Blob has none: new File([blob], name)',
      );
    const [top, ...below] = (file.webkitRelativePath ?? '').split('/');
    tops.add(below.length ? top : '');
    const name = below.join('/') || file.name;
    if (found.has(name))
      throw new FileError(
        `${name}: two of the given files have this name, and no paths that tell them apart; give their folder`,
      );
    found.set(name, file);
  }
  const [top] = tops;
  return {
    location: tops.size === 1 && top ? top : 'the given files',
    file: async (name) => found.get(name),
    list: async (name) => listOf([...found.keys()], name),
  };
}

/** What stands in a subfolder, of files by their paths. */
function listOf(paths: readonly string[], name: string): FolderEntry[] {
  const within =
    name === ''
      ? paths
      : paths.filter((path) => path.startsWith(`${name}/`)).map((path) => path.slice(name.length + 1));
  return [...new Map(within.map((path) => [path.split('/')[0], path.includes('/')] as const))].map(
    ([entry, isFolder]) => entryOf(name, entry, isFolder),
  );
}

const entryOf = (folder: string, name: string, isFolder: boolean): FolderEntry =>
  isFolder ? { name, kind: 'folder', realPath: folder === '' ? name : `${folder}/${name}` } : { name, kind: 'file' };

const absent = (e: DOMException): undefined => {
  if (e.name !== 'NotFoundError' && e.name !== 'TypeMismatchError') throw e;
};

function foundByHandle(root: FileSystemDirectoryHandle): Found {
  const folderAt = async (segments: readonly string[]) => {
    let folder = root;
    for (const segment of segments) folder = await folder.getDirectoryHandle(segment);
    return folder;
  };
  return {
    location: root.name || 'the private file system of this page',
    file: async (name) => {
      const segments = name.split('/');
      const last = segments.pop()!;
      const handle = await folderAt(segments)
        .then((folder) => folder.getFileHandle(last))
        .catch(absent);
      return handle?.getFile();
    },
    list: async (name) => {
      const found: FolderEntry[] = [];
      for await (const [entry, { kind }] of (await folderAt(name === '' ? [] : name.split('/'))).entries())
        found.push(entryOf(name, entry, kind === 'directory'));
      return found;
    },
  };
}

/** Of what `DataTransferItem.webkitGetAsEntry` gives: the way to dropped folders that every browser has. */
function foundByEntry(root: FileSystemDirectoryEntry): Found {
  return {
    location: root.name || 'the dropped folder',
    file: async (name) => {
      const entry = await new Promise<FileSystemEntry>((done, fail) => root.getFile(name, {}, done, fail)).catch(
        absent,
      );
      return entry && new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail));
    },
    list: async (name) => {
      const folder =
        name === ''
          ? root
          : await new Promise<FileSystemEntry>((done, fail) => root.getDirectory(name, {}, done, fail));
      const reader = (folder as FileSystemDirectoryEntry).createReader();
      const found: FolderEntry[] = [];
      for (;;) {
        // A hundred at most at once, in Chromium.
        const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
        if (!some.length) return found;
        found.push(...some.map((entry) => entryOf(name, entry.name, entry.isDirectory)));
      }
    },
  };
}
