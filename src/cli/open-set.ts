// Options of fit, classify and eval on when a query gets no label, and how that is said.
import { type Command, InvalidArgumentError } from 'commander';
import type { Prediction } from '../sav/classifier.ts';
import type { Refusal } from '../sav/classifier-data.ts';
import type { Selection } from '../sav/metrics.ts';

export interface RefusalOptions {
  noneOfThese?: number | true;
  abstain?: number;
}

/** False rejections where the option names none. */
const defaultRate = 0.05;

/** @param stored whether a classifier may bring its own, which the options then replace */
export function withRefusalOptions(command: Command, stored = false): Command {
  const own = stored ? ' (default: as fitted; 0: off)' : ' (default: off)';
  return command
    .option(
      '--none-of-these [rate]',
      `give no label to a picture that is far from every class. The rate is the share of pictures of the classes that is refused by mistake, 0 to 1; ${defaultRate} where none is given${own}`,
      share,
    )
    .option('--abstain <confidence>', `give no label below this confidence, 0 to 1${own}`, share);
}

export function refusalOf({ noneOfThese, abstain }: RefusalOptions): Refusal | undefined {
  if (noneOfThese === undefined && abstain === undefined) return undefined;
  return { noneOfThese: noneOfThese === true ? defaultRate : noneOfThese, abstain };
}

/** The label, or in its place why there is none. */
export const answerOf = ({ label, refused, winner }: Prediction): string => label ?? `${refused} (nearest: ${winner})`;

const percent = (value: number | null) => (value === null ? 'none' : `${(100 * value).toFixed(1)} %`);

export function describeSelection(found: Selection): string {
  const { known, answered, right, coverage, accuracy, falseReject, outsiders, falseAccept } = found;
  const lines = [
    `with a label ${answered} of ${known} (${percent(coverage)}), of those right ${right} (${percent(accuracy)})`,
    `falsely 'none of these' ${percent(falseReject)}`,
  ];
  if (outsiders > 0) lines.push(`of ${outsiders} rows of other labels, given a label ${percent(falseAccept)}`);
  return lines.join('; ');
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < 1))
    throw new InvalidArgumentError('Give a share from 0 to below 1, such as 0.05.');
  return value;
}
