/** What a hub would not or could not give. Messages are one line and say what to do. */
export class HubError extends Error {
  override name = 'HubError';
  /** Worth another try as it is: the connection broke, or the server is busy. */
  readonly transient: boolean;

  constructor(message: string, options: { transient?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.transient = options.transient ?? false;
  }
}
