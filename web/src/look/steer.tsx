// Steering: the heads that vote are moved from what one class has on average towards another.
import { fitted } from '../state/engine.ts';
import { change, changes } from './changes.ts';

export function Steer() {
  const { labels = [] } = fitted.value ?? {};
  if (labels.length < 2) return <p class="hint">After a fit, the heads that vote can be steered between classes.</p>;
  const { from, to, strength } = changes.value.steer ?? { from: labels[0], to: labels[1], strength: 0 };
  const set = (changed: Partial<{ from: string; to: string; strength: number }>) =>
    change({ steer: { from, to, strength, ...changed } });
  return (
    <fieldset class="steer">
      <legend>Steer the heads that vote</legend>
      <ClassChoice name="from" value={from} labels={labels} onChoose={(label) => set({ from: label })} />
      <ClassChoice name="to" value={to} labels={labels} onChoose={(label) => set({ to: label })} />
      <label class="field">
        <span>
          Strength: <strong>{strength}</strong> times the difference of the two means
        </span>
        <input
          type="range"
          min={0}
          max={4}
          step={0.25}
          value={strength}
          onInput={({ currentTarget }) => set({ strength: Number(currentTarget.value) })}
        />
      </label>
    </fieldset>
  );
}

function ClassChoice({
  name,
  value,
  labels,
  onChoose,
}: {
  name: string;
  value: string;
  labels: readonly string[];
  onChoose: (label: string) => void;
}) {
  return (
    <label class="field">
      {name}
      <select value={value} onChange={({ currentTarget }) => onChoose(currentTarget.value)}>
        {labels.map((label) => (
          <option key={label} value={label}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
