import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { checkName } from '../platform/file-name.ts';
import { writeWhole } from '../platform/node-write.ts';
import { DownloadError } from './errors.ts';
import { isHubId } from './hub.ts';

const recordFile = '.headlight-download.json';

const schema = z.object({
  repo: z.string().refine(isHubId),
  revision: z.string(),
  commit: z.string(),
  /** False from the first change to the folder until every file is there and verified. */
  complete: z.boolean(),
  files: z.array(
    z.object({
      path: z.string(),
      size: z.number(),
      algorithm: z.enum(['sha256', 'git-sha1']),
      hash: z.string(),
    }),
  ),
});

/** What was downloaded to a folder, kept in the folder. */
export type DownloadRecord = z.output<typeof schema>;

/** @returns undefined for a folder that no download wrote. @throws DownloadError for a record that is none. */
export async function readRecord(folder: string): Promise<DownloadRecord | undefined> {
  const path = join(folder, recordFile);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (e) {
    if (['ENOENT', 'ENOTDIR'].includes((e as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw e;
  }
  try {
    const record = schema.parse(JSON.parse(text));
    for (const { path: name } of record.files) checkName(name, folder); // files are deleted by these names
    return record;
  } catch {
    throw new DownloadError(`${path}: not a record of a download; delete it, or give another folder`);
  }
}

export const writeRecord = (folder: string, record: DownloadRecord): Promise<void> =>
  writeWhole(join(folder, recordFile), `${JSON.stringify(record, undefined, 2)}\n`);
