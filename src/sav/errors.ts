import { HeadlightError } from '../base/error.ts';

/** Examples that cannot be used: their rows, labels, pictures or number. Messages name the file, its line or the example. */
export class DataError extends HeadlightError {
  override name = 'DataError';
  readonly code = 'data';
}

/** A classifier whose file is damaged, that was fitted on another model, or that cannot do what is asked of it. */
export class ClassifierError extends HeadlightError {
  override name = 'ClassifierError';
  readonly code = 'classifier';
}
