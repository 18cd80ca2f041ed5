// What the classifier says of a picture.
import { percent } from '../parts/format.ts';
import { fitted } from '../state/engine.ts';
import type { Answered } from '../worker/work.ts';

export function Said({ answer: { label, refused, winner, confidence, votes, heads } }: { answer: Answered }) {
  const { labels } = fitted.value!;
  return (
    <>
      <p class="label" data-testid="label">
        {label ?? refused}
        {label === null && <span class="hint"> (nearest: {winner})</span>}
        {confidence !== undefined && <span class="confidence">{percent(confidence)} sure</span>}
      </p>
      <ul class="votes" aria-label="Votes by class">
        {labels.map((name, c) => (
          <li key={name}>
            <span>{name}</span>
            <meter
              min={0}
              max={heads.length}
              value={votes[c]}
              aria-label={`${name}: ${votes[c]} of ${heads.length} heads`}
            />
            <span>{votes[c]}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
