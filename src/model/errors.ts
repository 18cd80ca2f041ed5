import { HeadlightError } from '../base/error.ts';

/** A configuration that this implementation does not run; names every setting in question and what is supported. */
export class ConfigError extends HeadlightError {
  override name = 'ConfigError';
  readonly code = 'config';
}

/** What a caller gave does not fit: token counts, image sizes, positions, hook names, options and their ranges. */
export class InputError extends HeadlightError {
  override name = 'InputError';
  readonly code = 'input';
}

/** NaN or infinity where a result should be; names the first activation that holds it. */
export class NotFiniteError extends HeadlightError {
  override name = 'NotFiniteError';
  readonly code = 'not-finite';
}
