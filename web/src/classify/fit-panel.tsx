// How the classifier is made, and the button that makes it.
import { percent, plural } from '../parts/format.ts';
import { fitClasses, fitted, job, model, outdated, settings } from '../state/engine.ts';
import { classes, missing } from '../state/project.ts';

/** The share of a class's own pictures that “none of these” may be said of by mistake. */
const outside = 0.05;

/** Numbers of heads to choose among: a project may bring another. */
const headCounts = (k: 'auto' | number) =>
  [...new Set([1, 5, 10, 20, 40, ...(k === 'auto' ? [] : [k])])].sort((a, b) => a - b);

export function FitPanel() {
  const why = model.value ? missing.value : 'The model is being loaded.';
  const count = classes.value.reduce((sum, { pictures }) => sum + pictures.length, 0);
  const { k = 'auto', refusal = {} } = settings.value;
  return (
    <section aria-labelledby="fit" class="fit-panel">
      <h2 id="fit" class="unseen">
        Fit
      </h2>
      <div class="row">
        <button
          type="button"
          class="main"
          disabled={why !== undefined || job.value !== undefined}
          aria-describedby="fit-why"
          onClick={() => void fitClasses()}
        >
          {fitted.value ? 'Fit again' : 'Fit'}
        </button>
        <p id="fit-why" class="hint">
          {why ?? (outdated.value ? 'The pictures have changed since the last fit.' : `${plural(count, 'picture')}`)}
        </p>
      </div>
      <details>
        <summary>Settings</summary>
        <label class="field">
          Heads that vote
          <select
            value={String(k)}
            onChange={({ currentTarget: { value } }) => {
              settings.value = { ...settings.value, k: value === 'auto' ? 'auto' : Number(value) };
            }}
          >
            <option value="auto">as many as leave-one-out finds best</option>
            {headCounts(k).map((count) => (
              <option key={count} value={count}>
                {count}
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={Boolean(refusal.noneOfThese)}
            onChange={({ currentTarget: { checked } }) => {
              settings.value = {
                ...settings.value,
                refusal: { ...refusal, noneOfThese: checked ? outside : undefined },
              };
            }}
          />
          Say “none of these” of a picture that lies farther out than {percent(1 - (refusal.noneOfThese || outside))} of
          the classes’ own
        </label>
        {refusal.abstain !== undefined && (
          <p class="hint">Gives no label below a confidence of {percent(refusal.abstain)}, as the project says.</p>
        )}
      </details>
    </section>
  );
}
