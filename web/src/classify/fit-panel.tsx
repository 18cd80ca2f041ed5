// How the classifier is made, and the button that makes it.
import { plural } from '../parts/format.ts';
import { fitClasses, fitted, job, model, outdated, settings } from '../state/engine.ts';
import { classes, missing } from '../state/project.ts';

export function FitPanel() {
  const why = model.value ? missing.value : 'The model is being loaded.';
  const count = classes.value.reduce((sum, { pictures }) => sum + pictures.length, 0);
  const { heads, noneOfThese } = settings.value;
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
            value={String(heads)}
            onChange={({ currentTarget: { value } }) => {
              settings.value = { ...settings.value, heads: value === 'auto' ? 'auto' : Number(value) };
            }}
          >
            <option value="auto">as many as leave-one-out finds best</option>
            {[1, 5, 10, 20, 40].map((k) => (
              <option key={k} value={k}>
                {k}
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={noneOfThese}
            onChange={({ currentTarget: { checked } }) => {
              settings.value = { ...settings.value, noneOfThese: checked };
            }}
          />
          Say “none of these” of a picture that lies farther out than 95 % of the classes’ own
        </label>
      </details>
    </section>
  );
}
