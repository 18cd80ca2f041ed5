/** A configuration that this implementation does not run; names every setting in question and what is supported. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Inputs that do not fit the model: token counts, image sizes, positions, hook names. */
export class InputError extends Error {
  override name = 'InputError';
}

/** NaN or infinity where a result should be; names the first activation that holds it. */
export class NotFiniteError extends Error {
  override name = 'NotFiniteError';
}
