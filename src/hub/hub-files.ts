import { quote } from '../base/quote.ts';
import { maxIndexBytes, parseIndex, shardNames } from '../checkpoint/checkpoint-files.ts';
import { explainAbsence, indexFile, singleFile } from '../checkpoint/not-a-checkpoint.ts';
import { settingsFiles } from '../checkpoint/settings-files.ts';
import { HubError } from './errors.ts';
import type { HubFile, HubSnapshot } from './hub.ts';

/** The files that a checkpoint is loaded from. */
export interface NeededFiles {
  readonly settings: readonly HubFile[];
  /** `model.safetensors`, or the index, which says what else is needed. */
  readonly weights: HubFile;
}

/**
 * Chooses what to download, by name: no pickles, no copies in other formats, no pictures.
 * @throws HubError or CheckpointError for a repository that Headlight cannot load, saying what it has and what to do.
 */
export async function neededFiles(snapshot: HubSnapshot): Promise<NeededFiles> {
  const { files } = snapshot;
  const weights = files.get(singleFile) ?? files.get(indexFile);
  const location = showSnapshot(snapshot);
  if (!weights)
    return explainAbsence({ location, has: async (name) => files.has(name) }, `it has ${someOf(files.keys())}`);
  if (!files.has('config.json'))
    throw new HubError(`${location}: no config.json there; it has ${someOf(files.keys())}`);
  if (weights.path === indexFile && weights.size > maxIndexBytes)
    throw new HubError(`${location}: ${indexFile} has ${weights.size} bytes, more than any index of shards needs`);
  return {
    weights: checked(weights, location),
    settings: settingsFiles.flatMap((name) => files.get(name) ?? []).map((file) => checked(file, location)),
  };
}

/**
 * The shards that an index names.
 * @param index the bytes of `model.safetensors.index.json`.
 * @throws CheckpointError for a bad index or a shard outside the folder, HubError for one that the repository lacks.
 */
export function neededShards(snapshot: HubSnapshot, index: Uint8Array): HubFile[] {
  const location = showSnapshot(snapshot);
  const names = shardNames(parseIndex(index, location), location);
  const missing = names.filter((name) => !snapshot.files.has(name));
  if (missing.length > 0)
    throw new HubError(`${location}: ${indexFile} names shards that are not there: ${someOf(missing)}`);
  checkTogether(names, location);
  return names.map((name) => checked(snapshot.files.get(name)!, location));
}

/** What some system makes another name or a device of. */
const isOdd = (segment: string) =>
  /[<>:"|?*\\\p{Cc}]|[. ]$/u.test(segment) ||
  /^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$/i.test(segment) ||
  segment.length > 150;

/**
 * Checks that names can be files of one folder, on every system: a checkpoint that is right on one machine must not be mixed up
 * on the next.
 */
function checkTogether(names: readonly string[], location: string): void {
  const odd = names.filter((name) => name.length > 500 || name.split('/').some(isOdd));
  if (odd.length > 0)
    throw new HubError(`${location}: ${indexFile} names shards that cannot be files everywhere: ${someOf(odd)}`);
  const seen = new Map<string, string>();
  for (const name of [...names].sort((a, b) => a.split('/').length - b.split('/').length)) {
    const segments = name.normalize('NFC').toLowerCase().split('/');
    const clash = segments
      .map((_, i) => seen.get(segments.slice(0, i + 1).join('/')))
      .find((other) => other !== undefined);
    if (clash !== undefined)
      throw new HubError(`${location}: ${indexFile} names shards that would be one file: ${someOf([clash, name])}`);
    seen.set(segments.join('/'), name);
  }
}

export const showSnapshot = ({ repo, revision, commit }: HubSnapshot): string =>
  revision === commit ? `${repo} at ${commit}` : `${repo} at ${revision} (commit ${commit.slice(0, 12)})`;

/** The listing is the measure of everything that follows, so it must be one. */
function checked(file: HubFile, location: string): HubFile {
  const digits = file.algorithm === 'sha256' ? 64 : 40;
  if (!Number.isSafeInteger(file.size) || file.size < 0)
    throw new HubError(`${location}: ${file.path} is listed with ${file.size} bytes`);
  if (typeof file.hash !== 'string' || !/^[0-9a-f]+$/.test(file.hash) || file.hash.length !== digits)
    throw new HubError(`${location}: ${file.path} is listed without a usable hash, so it could not be verified`);
  return file;
}

function someOf(names: Iterable<string>): string {
  const all = [...names];
  const shown = all.slice(0, 8).map(quote).join(', ') || 'no files';
  return all.length > 8 ? `${shown} and ${all.length - 8} more` : shown;
}
