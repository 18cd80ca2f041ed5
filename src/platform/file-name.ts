import { FileError } from './errors.ts';

const onWindows = typeof process !== 'undefined' && process.platform === 'win32';

/**
 * Checks a name that may come from a file of unknown origin: relative, `/` between segments, never out of the folder.
 * A colon is refused on Windows alone, where it ends a drive's name; elsewhere folders may be called `colour:red`.
 * @throws FileError naming it.
 */
export function checkName(name: string, location: string): string {
  const segments = name.split('/');
  if (
    /[\\\0]/.test(name) ||
    (onWindows && name.includes(':')) ||
    segments.some((s) => s === '' || s === '.' || s === '..')
  )
    throw new FileError(
      `${JSON.stringify(name)} is not a file name inside ${location}: it must be relative, without empty, "." or ".." segments`,
    );
  return name;
}

/**
 * Checks a byte range against a file's size.
 * @throws FileError naming the file and both.
 */
export function checkRange(file: string, start: number, end: number, size: number): void {
  if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= size))
    throw new FileError(`${file}: bytes ${start} to ${end} were asked for, the file has ${size}`);
}
