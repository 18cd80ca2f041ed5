import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as s from '../base/schema.ts';
import { checkName } from '../platform/file-name.ts';
import { writeWhole } from '../platform/node-write.ts';
import { DownloadError } from './errors.ts';
import { isHubId } from './hub.ts';

const recordFile = '.headlight-download.json';

const schema = s.object({
  repo: s.is<string>((x) => typeof x === 'string' && isHubId(x), 'id on the hub'),
  revision: s.string(),
  commit: s.string(),
  /** False from the first change to the folder until every file is there and verified. */
  complete: s.boolean(),
  files: s.array(
    s.object({
      path: s.string(),
      size: s.number(),
      algorithm: s.oneOf(['sha256', 'git-sha1']),
      hash: s.string(),
    }),
  ),
});

/** What was downloaded to a folder, kept in the folder. */
export type DownloadRecord = s.InferOutput<typeof schema>;

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
  const record = recordOf(text, folder);
  if (record) return record;
  throw new DownloadError(`${path}: not a record of a download; delete it, or give another folder`);
}

function recordOf(text: string, folder: string): DownloadRecord | undefined {
  try {
    const { value: record } = s.check(schema, JSON.parse(text));
    for (const { path } of record?.files ?? []) checkName(path, folder); // files are deleted by these names
    return record;
  } catch {
    return undefined;
  }
}

export const writeRecord = (folder: string, record: DownloadRecord): Promise<void> =>
  writeWhole(join(folder, recordFile), `${JSON.stringify(record, undefined, 2)}\n`);
