import { median } from '../../src/verify/benchmark.ts';
import { tolerance } from './candidate.ts';
import { type Measured, ratio } from './kernels.ts';
import { logitTolerance, type ModelRow, turnRatio } from './turns.ts';

const markdown = (lines: readonly (readonly string[])[]) => lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');

/** A line for each of our candidates, a column for each peer: our time over theirs. */
export function kernelTable(all: readonly Measured[]): string {
  const isOurs = ({ candidate }: Measured) => candidate.startsWith('ours');
  const lines = [
    ['', 'of a call, ms', 'ratios: our time over theirs'],
    ['---', '---:', '---'],
  ];
  for (const mine of all.filter(isOurs)) {
    const peers = all.filter((other) => other.row === mine.row && !isOurs(other));
    const told = peers.map((peer) => `${peer.candidate} ${against(mine, peer)}`);
    lines.push([
      `${mine.row}, ${mine.candidate}`,
      mine.times.length ? median(mine.times).toPrecision(3) : wrong(mine),
      told.join('; '),
    ]);
  }
  return markdown(lines);
}

function against(mine: Measured, peer: Measured): string {
  if (!peer.times.length) return wrong(peer);
  return mine.times.length ? ratio(mine, peer).toPrecision(2) : '-';
}

function wrong({ failure, worst, nmse }: Measured): string {
  if (failure) return `fails: ${failure.slice(0, 80)}`;
  if (!(nmse <= tolerance)) return `differs by ${(100 * worst).toPrecision(2)} % of the largest element`;
  return '-';
}

/** End to end: ours over theirs, and what was compared before. */
export function modelTable(rows: readonly ModelRow[]): string {
  const lines = [
    ['', 'first token', 'each later token', 'head vectors in a batch, against a forward'],
    ['---', '---:', '---:', '---:'],
  ];
  for (const row of rows) {
    const { peer, worst, sameTokens, ours } = row;
    const difference = `logits differ by ${(100 * worst).toPrecision(2)} %, ${sameTokens ? 'the same' : 'other'} tokens`;
    const told = ours.length
      ? (['first', 'later', 'forward'] as const).map((of) => turnRatio(row, of).toPrecision(2))
      : [worst <= logitTolerance ? 'other tokens' : 'not counted', '', ''];
    lines.push([`${peer} (${difference})`, ...told]);
  }
  return markdown(lines);
}
