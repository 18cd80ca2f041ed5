// Cut or scale heads, and see at once what the model says and how the heads vote.
import { signal } from '@preact/signals';
import type { Head } from 'headlight-vlm';
import { percent } from '../parts/format.ts';
import { ask, asked, fitted, rowOf } from '../state/engine.ts';
import type { Picture } from '../state/project.ts';
import type { HeadScale, Tried } from '../worker/work.ts';
import { useLatest } from './latest.ts';

/** Heads whose output is not as it was. */
const scales = signal<readonly HeadScale[]>([]);

const setScale = ({ layer, head }: Head, scale: number) => {
  const others = scales.value.filter((own) => own.layer !== layer || own.head !== head);
  scales.value = scale === 1 ? others : [...others, { layer, head, scale }];
};

export function TryPanel({ picture, head }: { picture: Picture; head: Head }) {
  const row = rowOf(picture);
  const about = `${picture.id} ${asked.value} ${fitted.value?.heads.length}`;
  const before = useLatest(about, () => ask('try', { row, question: asked.value, scales: [] })).value;
  const changed = scales.value;
  const after = useLatest(
    `${about} ${JSON.stringify(changed)}`,
    changed.length ? () => ask('try', { row, question: asked.value, scales: changed }) : undefined,
  ).value;
  const scale = changed.find((own) => own.layer === head.layer && own.head === head.head)?.scale ?? 1;
  return (
    <section aria-labelledby="try">
      <h2 id="try">Without it</h2>
      <label class="field">
        <span>
          Output of head {head.layer}.{head.head} times <output>{scale}</output>
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
        <button
          type="button"
          disabled={!changed.length}
          onClick={() => {
            scales.value = [];
          }}
        >
          Reset
        </button>
      </div>
      {changed.length > 0 && (
        <p class="hint">
          {changed
            .slice(0, 12)
            .map((own) => `${own.layer}.${own.head} × ${own.scale}`)
            .join(', ')}
          {changed.length > 12 && ` and ${changed.length - 12} more`}
        </p>
      )}
      <div class="before-after">
        <Outcome title="Before" tried={before.value} waiting={before.waiting} problem={before.problem} />
        {changed.length > 0 && (
          <Outcome title="After" tried={after.value} waiting={after.waiting} problem={after.problem} />
        )}
      </div>
    </section>
  );
}

function cutChosen(): void {
  scales.value = (fitted.value?.heads ?? []).map(({ layer, head }) => ({ layer, head, scale: 0 }));
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
