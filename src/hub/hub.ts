import { quote } from '../base/quote.ts';
import { nextChunk } from '../platform/next-chunk.ts';
import { HubError, refuseWebPage } from './errors.ts';

/** A file of a repository at one commit, as the hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Large files (LFS, Xet) are listed with the SHA-256 of their bytes, small ones with git's SHA-1 of a blob. */
  readonly algorithm: 'sha256' | 'git-sha1';
  /** Lower-case hex. */
  readonly hash: string;
}

/** What a repository holds at one commit. */
export interface HubSnapshot {
  /** `owner/name`. */
  readonly repo: string;
  /** What was asked for: a branch, a tag or a commit. */
  readonly revision: string;
  /** The commit it stood for: 40 hex digits. */
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
}

export interface HubOptions {
  /** Where the hub is: `https://huggingface.co`, or a mirror of it. */
  readonly endpoint: string;
  /** Sent to the endpoint's origin, never to where it redirects. */
  readonly token?: string;
}

/** Whether a text is a model's id, `owner/name`, in letters that are safe in a path and in a URL. */
export function isHubId(text: string): boolean {
  return /^[A-Za-z0-9_][\w.-]{0,95}\/[A-Za-z0-9_][\w.-]{0,95}$/.test(text) && !text.includes('..');
}

const maxRedirects = 10;
/** A page of a listing has 1000 files and some 300 KB. */
const maxAnswerBytes = 16 << 20;
const maxAnswers = 100;
/** No checkpoint has a thousandth of it. */
const maxFiles = 100_000;
const answerSeconds = 60;

/**
 * The part of a hub's API that a download needs, for Node (a browser does not show a script where it is redirected).
 *
 * Listing is @huggingface/hub's. It is given no token: all its requests go through `#fetch`, which decides for each address
 * whether the token goes with it, and makes of refusals what a reader can act on.
 */
export class Hub {
  readonly endpoint: string;
  readonly #origin: string;
  readonly #token: string | undefined;

  /** @throws HubError for an endpoint that is no http address, or a token that cannot be sent. */
  constructor({ endpoint, token }: HubOptions) {
    const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
    if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username)
      throw new HubError(`${quote(endpoint)} is no hub's address (HF_ENDPOINT); give one like https://huggingface.co`);
    // An invalid header would be quoted in an error of fetch, token and all.
    if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
      throw new HubError('HF_TOKEN holds spaces or other characters that no token has; copy it again');
    this.endpoint = url.href.replace(/\/+$/, '');
    this.#origin = url.origin;
    this.#token = token;
  }

  /**
   * Lists a repository at a revision.
   * @param repo `owner/name`.
   * @param patiently does a request, and does it again where that may help.
   * @throws HubError saying why there is no access, or what is odd about the answer; the signal's reason when aborted.
   */
  async snapshot(
    repo: string,
    revision: string,
    signal?: AbortSignal,
    patiently: <T>(request: () => Promise<T>) => Promise<T> = (request) => request(),
  ): Promise<HubSnapshot> {
    const { listFiles, modelInfo } = await import('@huggingface/hub'); // 70 ms that no other command should pay
    let answers = 0;
    const api = async (input: string | URL | Request): Promise<Response> => {
      if (++answers > maxAnswers) throw new HubError(`${repo}: its list of files does not end (${this.endpoint})`);
      return patiently(async () => {
        const late = AbortSignal.timeout(answerSeconds * 1000);
        const either = signal ? AbortSignal.any([signal, late]) : late;
        const response = await this.#fetch(String(input), {}, either);
        if (!response.ok) throw await this.#refusal(response, repo, revision);
        refuseWebPage(response, repo);
        return bounded(response, either);
      });
    };
    const about = { hubUrl: this.endpoint, fetch: api as typeof fetch };
    try {
      const { sha: commit } = await modelInfo({ ...about, name: repo, revision, additionalFields: ['sha'] });
      if (!/^[0-9a-f]{40}$/.test(commit)) throw new HubError(`${repo}: ${revision} stands for no commit`);
      const files = new Map<string, HubFile>();
      for await (const { type, path, size, oid, lfs } of listFiles({
        ...about,
        repo: { type: 'model', name: repo },
        revision: commit,
        recursive: true,
      })) {
        if (files.size >= maxFiles)
          throw new HubError(`${repo}: it has more than ${maxFiles} files, which no checkpoint has (${this.endpoint})`);
        if (type === 'file')
          files.set(
            path,
            lfs
              ? { path, size: lfs.size, algorithm: 'sha256', hash: lfs.oid }
              : { path, size, algorithm: 'git-sha1', hash: oid ?? '' },
          );
      }
      return { repo, revision, commit, files };
    } catch (e) {
      signal?.throwIfAborted();
      if (e instanceof HubError) throw e;
      // The package parses the answers and assumes much about them.
      throw new HubError(`${this.endpoint} does not answer like a hub: ${quote((e as Error).message)}`, { cause: e });
    }
  }

  /**
   * The bytes of a file from `offset` on: status 206, or 200 and all of them where the server does not do ranges.
   * @throws HubError saying why not; transient where another try may help.
   */
  async open({ repo, revision, commit }: HubSnapshot, path: string, offset: number, signal: AbortSignal) {
    const url = `${this.endpoint}/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
    // Compressed, sizes and ranges would mean something else.
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (offset > 0) headers.range = `bytes=${offset}-`;
    const response = await this.#fetch(url, headers, signal);
    if (response.status === 200 || response.status === 206) return response;
    throw await this.#refusal(response, repo, revision, path);
  }

  /** Follows redirects by itself, because each address must be judged before a token goes to it. */
  async #fetch(input: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    let url = new URL(input);
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const sent = new Headers(headers);
      if (this.#token && url.origin === this.#origin) sent.set('authorization', `Bearer ${this.#token}`);
      let response: Response;
      try {
        response = await fetch(url, { headers: sent, redirect: 'manual', signal });
      } catch (e) {
        const transient = !isUntrusted(e);
        throw new HubError(`${url.origin} cannot be reached: ${networkReason(e)}`, { transient, cause: e });
      }
      if (![301, 302, 303, 307, 308].includes(response.status)) return response;
      await response.body?.cancel();
      const location = response.headers.get('location') ?? '';
      const next = URL.canParse(location, url) ? new URL(location, url) : undefined;
      if (!next || !/^https?:$/.test(next.protocol) || (url.protocol === 'https:' && next.protocol === 'http:'))
        throw new HubError(`${url.origin} redirects to ${quote(location)}, which is not followed`);
      url = next;
    }
    throw new HubError(`${url.origin} redirects more than ${maxRedirects} times`);
  }

  async #refusal(response: Response, repo: string, revision: string, path?: string): Promise<HubError> {
    const { status, headers } = response;
    const [code, said] = [headers.get('x-error-code'), headers.get('x-error-message') ?? ''];
    await response.body?.cancel();
    const what = path === undefined ? repo : `${repo}: ${path}`;
    const page = `${this.endpoint}/${repo}`;
    const newToken = `make one at ${this.endpoint}/settings/tokens`;
    if (code === 'GatedRepo')
      return new HubError(
        this.#token
          ? `${repo} is gated: accept its licence at ${page}, with the account that HF_TOKEN belongs to`
          : `${repo} is gated: accept its licence at ${page}, then set HF_TOKEN (${newToken})`,
      );
    if (code === 'RevisionNotFound')
      return new HubError(`${repo} has no revision ${quote(revision)}; see ${page}/commits`);
    if (code === 'EntryNotFound') return new HubError(`${what} is not there at ${revision}; see ${page}/tree/main`);
    // The hub does not tell strangers which private models there are: 401 without a token, 404 with one.
    if (code === 'RepoNotFound' || status === 404 || (status === 401 && !this.#token))
      return new HubError(
        `${what}: there is no such model at ${this.endpoint}; check the spelling${this.#token ? ', and that HF_TOKEN may read it' : ', or set HF_TOKEN if it is private'}`,
      );
    if (status === 401) return new HubError(`${this.endpoint} does not accept HF_TOKEN; ${newToken}, or unset it`);
    const words = said === '' ? '' : ` (${quote(said)})`;
    if (status === 403)
      return new HubError(`${what}: access denied${words}; see ${page}, and what HF_TOKEN is allowed to read`);
    const transient = status === 408 || status === 429 || status >= 500;
    return new HubError(`${what}: ${this.endpoint} answered ${status}${words}${transient ? '; try again later' : ''}`, {
      transient,
      status,
      retryAfter: transient ? retryAfter(headers) : undefined,
    });
  }
}

/** `Retry-After`, seconds or a date, as seconds from now. */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,12}$/.test(text)) return Number(text);
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}

const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'nobody knows its name; is there a network, and is HF_ENDPOINT right?',
  EAI_AGAIN: 'its name cannot be looked up now; is there a network?',
  ECONNREFUSED: 'nothing answers there; is HF_ENDPOINT right?',
  ENETUNREACH: 'there is no way to it; is there a network?',
  EHOSTUNREACH: 'there is no way to it; is there a network?',
  UND_ERR_CONNECT_TIMEOUT: 'it does not answer; does this network need a proxy?',
};

const untrusted = /^(CERT_|ERR_TLS_|ERR_SSL_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_)/;

const isUntrusted = (e: unknown) => untrusted.test((e as { cause?: NodeJS.ErrnoException }).cause?.code ?? '');

/** Why fetch failed: its own message is "fetch failed". */
export function networkReason(e: unknown): string {
  const { cause, message } = e as Error & { cause?: NodeJS.ErrnoException };
  const code = cause?.code;
  if (code === undefined) return cause?.message || message;
  if (untrusted.test(code))
    return `its certificate is not trusted (${code}); if a proxy here opens connections, give Node its certificate in NODE_EXTRA_CA_CERTS`;
  return Object.hasOwn(reasons, code) ? `${reasons[code]} (${code})` : code;
}

/** An answer of the API, read whole before anyone parses it. @throws HubError, transient where it is cut off. */
async function bounded(response: Response, signal: AbortSignal): Promise<Response> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const { origin } = new URL(response.url);
  const reader = response.body?.getReader();
  while (reader) {
    const { value } = await nextChunk(reader, signal).catch((e) => {
      throw new HubError(`${origin}: the connection broke (${networkReason(e)})`, { transient: true, cause: e });
    });
    if (!value) break;
    size += value.length;
    if (size > maxAnswerBytes) {
      await reader.cancel();
      throw new HubError(`${origin}: an answer of more than ${maxAnswerBytes} bytes`);
    }
    chunks.push(value);
  }
  const whole = new Blob(chunks);
  try {
    JSON.parse(await whole.text());
  } catch (e) {
    const what = `${origin} does not answer like a hub: what came is not JSON, or not all of it`;
    throw new HubError(what, { transient: true, cause: e });
  }
  return new Response(whole, { status: response.status, headers: response.headers });
}
