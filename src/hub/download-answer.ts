import { HubError, refuseWebPage } from './errors.ts';
import type { HubFile } from './hub.ts';

/**
 * What a response is good for: it `continues` what is there, is the `whole` file by its length, or says nothing that could be
 * compared with the listing, and has to be all there and right before it is taken (`unproven`).
 */
export type Answer = 'continues' | 'whole' | 'unproven';

/**
 * Judges what a response says it will send, against what the hub lists: better known now than after 14 GB.
 * @param offset the byte that was asked for.
 * @throws HubError for a web page, another extent, or another size.
 */
export function judge(response: Response, file: HubFile, offset: number): Answer {
  const { status, headers } = response;
  const fail = (has: string): never => {
    throw new HubError(
      `${file.path}: the hub lists ${file.size} bytes, but ${has}; what was there of it is kept, but the repository, its mirror or a proxy is broken`,
    );
  };
  refuseWebPage(response, file.path);
  const isEncoded = !['', 'identity'].includes((headers.get('content-encoding') ?? '').trim().toLowerCase());
  const length = headers.get('content-length');
  if (status !== 206) {
    // Encoded, the length is another; what arrives is decoded.
    if (isEncoded || length === null) return 'unproven';
    if (Number(length) !== file.size) fail(`the server has ${length}`);
    return 'whole';
  }
  const range = headers.get('content-range') ?? '';
  const [, start, end, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range.trim()) ?? [];
  if (isEncoded) fail('the server compresses a part of it');
  if (start === undefined || Number(start) !== offset)
    fail(`asked for bytes from ${offset} on, the server sends ${JSON.stringify(range)}`);
  if (total !== '*' && Number(total) !== file.size) fail(`the server has ${total}`);
  if (Number(end) >= file.size || Number(end) < offset) fail(`the server sends ${JSON.stringify(range)}`);
  if (length !== null && Number(length) !== Number(end) - offset + 1)
    fail(`the server sends ${length} bytes as ${JSON.stringify(range)}`);
  return 'continues';
}
