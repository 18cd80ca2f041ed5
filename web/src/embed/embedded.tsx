// The page of one classifier, as other pages show it in a frame: pictures are dropped, and get labels.
import { Said } from '../classify/said.tsx';
import { Banners } from '../parts/banners.tsx';
import { DropArea } from '../parts/drop-area.tsx';
import { allOf, FileButton } from '../parts/file-button.tsx';
import { plural } from '../parts/format.ts';
import { JobBar } from '../parts/job-bar.tsx';
import type { Given } from '../state/drop.ts';
import { answers, classify, fitted, model, unreadable } from '../state/engine.ts';
import { addQueries, queries } from '../state/project.ts';

export function Embedded() {
  const onGiven = (given: Given) => {
    addQueries(allOf(given));
    void classify();
  };
  const labels = fitted.value?.labels;
  return (
    <>
      <Banners />
      <main class="embedded">
        <h1>{labels ? `${new Intl.ListFormat('en', { type: 'disjunction' }).format(labels)}?` : 'Headlight'}</h1>
        <DropArea class="queries" onGiven={onGiven}>
          <div class="row">
            <FileButton label="Choose a picture" onGiven={onGiven} />
            <span class="hint">or drop it here: it is not sent anywhere</span>
          </div>
          <ul class="query-list">
            {queries.value.toReversed().map(({ id, name, url }) => {
              const answer = answers.value.get(id);
              return (
                <li key={id} class="query">
                  <img src={url} alt={name} decoding="async" />
                  <div class="said">
                    {answer ? <Said answer={answer} /> : <p class="hint">{unreadable.value.get(id) ?? 'waits'}</p>}
                  </div>
                </li>
              );
            })}
          </ul>
        </DropArea>
        {model.value && fitted.value && (
          <p class="hint">
            {plural(fitted.value.heads.length, 'attention head')} of {model.value.name} vote, in this browser.
          </p>
        )}
      </main>
      <JobBar />
    </>
  );
}
