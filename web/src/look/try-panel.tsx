// Heads cut, scaled or steered, norms frozen; and at once what the model then says, and how the heads vote.
import type { Head } from 'headlight-vlm';
import { percent } from '../parts/format.ts';
import { ask, asked, fitted, rowOf } from '../state/engine.ts';
import type { Picture } from '../state/project.ts';
import type { Tried } from '../worker/work.ts';
import { change, changes, cutChosen, isChanged, reset, scaleOf, setScale, unchanged } from './changes.ts';
import { useLatest } from './latest.ts';
import { Steer } from './steer.tsx';

export function TryPanel({ picture, head }: { picture: Picture; head: Head }) {
  const row = rowOf(picture);
  const about = `${picture.id} ${asked.value} ${fitted.value?.heads.length}`;
  const before = useLatest(about, () => ask('try', { row, question: asked.value, changes: unchanged })).value;
  const changed = isChanged.value;
  const after = useLatest(
    `${about} ${JSON.stringify(changes.value)}`,
    changed ? () => ask('try', { row, question: asked.value, changes: changes.value }) : undefined,
  ).value;
  const { scales } = changes.value;
  const scale = scaleOf(head);
  return (
    <section aria-labelledby="try">
      <h2 id="try">Change it</h2>
      <label class="field">
        <span>
          Output of head {head.layer}.{head.head} times <strong>{scale}</strong>
        </span>
        <input
          type="range"
          min={-2}
          max={2}
          step={0.25}
          value={scale}
          onInput={({ currentTarget }) => setScale(head, Number(currentTarget.value))}
        />
      </label>
      <div class="row">
        <button type="button" onClick={() => setScale(head, 0)}>
          Cut it
        </button>
        <button type="button" disabled={!fitted.value} onClick={cutChosen}>
          Cut all that vote
        </button>
        <button type="button" disabled={!changed && !changes.value.freezeNorms} onClick={reset}>
          Reset
        </button>
      </div>
      {scales.length > 0 && (
        <p class="hint">
          {scales
            .slice(0, 12)
            .map((own) => `${own.layer}.${own.head} × ${own.scale}`)
            .join(', ')}
          {scales.length > 12 && ` and ${scales.length - 12} more`}
        </p>
      )}
      <Steer />
      <label class="check">
        <input
          type="checkbox"
          checked={changes.value.freezeNorms}
          onChange={({ currentTarget: { checked } }) => change({ freezeNorms: checked })}
        />
        Freeze norms: at the last token they divide by what they do without the changes
      </label>
      <div class="before-after">
        <Outcome title="Before" tried={before.value} waiting={before.waiting} problem={before.problem} />
        {changed && <Outcome title="After" tried={after.value} waiting={after.waiting} problem={after.problem} />}
      </div>
    </section>
  );
}

function Outcome({
  title,
  tried,
  waiting,
  problem,
}: {
  title: string;
  tried?: Tried;
  waiting: boolean;
  problem?: string;
}) {
  return (
    <div aria-busy={waiting} class="outcome">
      <h3>{title}</h3>
      {problem !== undefined && <p role="alert">{problem}</p>}
      {tried?.answer && (
        <p>
          votes <strong>{tried.answer.label ?? tried.answer.refused}</strong>
          {tried.answer.confidence !== undefined && ` · ${percent(tried.answer.confidence)} sure`}
        </p>
      )}
      <ol aria-label={`${title}: what the model says next`}>
        {tried?.next.map(({ text, probability }) => (
          <li key={text}>
            <q>{text}</q> <span>{percent(probability)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
