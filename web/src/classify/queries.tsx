// Pictures to classify, and what the heads say of each.
import { computed, signal } from '@preact/signals';
import { download } from '../parts/download.ts';
import { DropArea } from '../parts/drop-area.tsx';
import { allOf, FileButton } from '../parts/file-button.tsx';
import { plural } from '../parts/format.ts';
import type { Given } from '../state/drop.ts';
import { answers, classify, fitted, unreadable } from '../state/engine.ts';
import { addQueries, classes, movePicture, type Picture, queries, removeQuery } from '../state/project.ts';
import { chosenPicture, openTab } from '../state/tabs.ts';
import type { Answered } from '../worker/work.ts';
import { csvOf } from './csv.ts';
import { Said } from './said.tsx';

/** Pictures of which the classifier is least sure come first: labels of these teach it most. */
const unsureFirst = signal(false);

const sureness = ({ confidence, totals }: Answered) => {
  const [first, second] = [...totals].sort((a, b) => b - a);
  return confidence ?? first - second;
};

const ordered = computed(() => {
  if (!unsureFirst.value) return queries.value;
  const key = ({ id }: Picture) => {
    const answer = answers.value.get(id);
    return answer ? sureness(answer) : Number.POSITIVE_INFINITY;
  };
  return [...queries.value].sort((a, b) => key(a) - key(b));
});

export function Queries() {
  const onGiven = (given: Given) => {
    addQueries(allOf(given));
    void classify();
  };
  const answered = queries.value.filter(({ id }) => answers.value.has(id)).length;
  return (
    <section aria-labelledby="queries">
      <h2 id="queries">Pictures to classify</h2>
      <DropArea class="queries" onGiven={onGiven}>
        <div class="row">
          <FileButton label="Add pictures to classify" onGiven={onGiven} />
          <span class="hint">or drop them here</span>
        </div>
        {!fitted.value && queries.value.length > 0 && (
          <p class="hint">{plural(queries.value.length, 'picture')} will be classified after the fit.</p>
        )}
        {answered > 0 && (
          <div class="row">
            <label class="check">
              <input
                type="checkbox"
                checked={unsureFirst.value}
                onChange={({ currentTarget: { checked } }) => {
                  unsureFirst.value = checked;
                }}
              />
              least sure first: label these next
            </label>
            <button
              type="button"
              onClick={() => download('results.csv', csvOf(queries.value, answers.value), 'text/csv')}
            >
              Results as CSV
            </button>
          </div>
        )}
        <ul class="query-list">
          {ordered.value.map((picture) => (
            <Query key={picture.id} picture={picture} answer={answers.value.get(picture.id)} />
          ))}
        </ul>
      </DropArea>
    </section>
  );
}

const problemOf = ({ id }: Picture) => unreadable.value.get(id) ?? 'not classified yet';

function Query({ picture, answer }: { picture: Picture; answer: Answered | undefined }) {
  return (
    <li class="query">
      <img src={picture.url} alt={picture.name} loading="lazy" decoding="async" />
      <div class="said">
        {answer ? <Said answer={answer} /> : <p class="hint">{problemOf(picture)}</p>}
        <p class="hint file-name">{picture.name}</p>
        <div class="row">
          {answer && (
            <button
              type="button"
              aria-label={`Look inside for ${picture.name}`}
              onClick={() => {
                chosenPicture.value = picture.id;
                openTab.value = 'look';
              }}
            >
              Look inside
            </button>
          )}
          <select
            aria-label={`Put ${picture.name} into a class`}
            value=""
            onChange={({ currentTarget }) => movePicture(picture.id, Number(currentTarget.value))}
          >
            <option value="">into a class …</option>
            {classes.value.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
          <button
            type="button"
            class="quiet"
            aria-label={`Remove ${picture.name}`}
            onClick={() => removeQuery(picture.id)}
          >
            ✕
          </button>
        </div>
      </div>
    </li>
  );
}
