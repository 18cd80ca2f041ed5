// Where a checkpoint is, as people write it.
import type { ModelSource } from '../worker/work.ts';

/** The hub's files of a repository's main branch. */
const hub = (id: string) => `https://huggingface.co/${id}/resolve/main/`;

/** A hub id (`owner/name`), a repository's page on the hub, or a folder's address. */
export function sourceOf(text: string): ModelSource | { readonly problem: string } {
  const given = text.trim();
  if (/^[\w.-]+\/[\w.-]+$/.test(given)) return { name: given, at: hub(given), isKept: true };
  const page = /^https:\/\/huggingface\.co\/([\w.-]+\/[\w.-]+)\/?$/.exec(given);
  if (page) return { name: page[1], at: hub(page[1]), isKept: true };
  if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol))
    return { problem: 'Give a hub id, as owner/name, or an address that begins with https://' };
  const url = new URL(given);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/`;
  return { name: url.pathname.split('/').filter(Boolean).at(-1) ?? url.host, at: url.href, isKept: true };
}
