import { HeadlightError } from '../base/error.ts';

/** What a hub would not or could not give. Messages are one line and say what to do. */
export class HubError extends HeadlightError {
  override name = 'HubError';
  readonly code = 'hub';
  /** Worth another try as it is: the connection broke, or the server is busy. */
  readonly transient: boolean;
  /** How long the server asks to be left alone, in seconds (`Retry-After`). */
  readonly retryAfter: number | undefined;
  /** The HTTP status, where that is what is wrong. */
  readonly status: number | undefined;

  constructor(
    message: string,
    options: { transient?: boolean; cause?: unknown; retryAfter?: number; status?: number } = {},
  ) {
    super(message, { cause: options.cause });
    this.transient = options.transient ?? false;
    this.retryAfter = options.retryAfter;
    this.status = options.status;
  }
}

/** A folder that a download cannot go into: it has no room, holds something else, or changed meanwhile. Messages name it. */
export class DownloadError extends HeadlightError {
  override name = 'DownloadError';
  readonly code = 'download';
}

/**
 * A web page has the place of what was asked for where a network wants a sign-in first, or a proxy has something to say.
 * @throws HubError if the response is one.
 */
export function refuseWebPage({ headers, url }: Response, what: string): void {
  const [type] = (headers.get('content-type') ?? '').split(';');
  if (!/^\s*(text\/html|application\/xhtml\+xml)\s*$/i.test(type)) return;
  const origin = URL.canParse(url) ? new URL(url).origin : 'the server';
  throw new HubError(
    `${what}: ${origin} answered with a web page instead: does this network want a sign-in, or does a proxy stand between? Open any page in a browser, then run again; what was there is kept`,
  );
}
