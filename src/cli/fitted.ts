import type { SavClassifier } from '../sav/classifier.ts';
import { checkModel, doubtsAbout } from '../sav/classifier-file.ts';
import type { HeadVectorSource } from '../sav/features.ts';
import type { Context } from './context.ts';

/** Refuses a classifier that was fitted on another model or processor, and says what else may be amiss with it. */
export function checkFitted(context: Context, classifier: SavClassifier, file: string, model: HeadVectorSource): void {
  checkModel(classifier, file, model);
  const doubts = doubtsAbout(classifier, file, model);
  if (doubts) context.note(doubts);
}
