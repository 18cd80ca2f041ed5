// What heads do with a picture: their scores, where they look, what they write, and what changes without them.
import { signal } from '@preact/signals';
import type { Head } from 'headlight-vlm';
import { plural } from '../parts/format.ts';
import { answers, fitted, model } from '../state/engine.ts';
import { classes, queries } from '../state/project.ts';
import { chosenPicture } from '../state/tabs.ts';
import { HeadMap } from './head-map.tsx';
import { HeadPanel } from './head-panel.tsx';
import { LensPanel } from './lens-panel.tsx';
import { TryPanel } from './try-panel.tsx';
import { WritePanel } from './write-panel.tsx';

const chosenHead = signal<Head | undefined>(undefined);

/** Pictures that can be looked into: queries first. */
const pictures = () => [...queries.value, ...classes.value.flatMap((own) => own.pictures)];

export function LookTab() {
  const all = pictures();
  const picture = all.find(({ id }) => id === chosenPicture.value) ?? all[0];
  if (!model.value || !picture)
    return (
      <p class="hint">
        {model.value
          ? 'Add a picture in the tab Classify: this shows what the heads make of it.'
          : 'The model is being loaded.'}
      </p>
    );
  const head = chosenHead.value ?? fitted.value?.heads[0] ?? { layer: 0, head: 0 };
  return (
    <>
      <PictureStrip chosen={picture.id} />
      <div class="columns">
        <div>
          <section aria-labelledby="heads">
            <h2 id="heads">Heads</h2>
            <HeadMap
              shape={model.value}
              fitted={fitted.value}
              answer={answers.value.get(picture.id)}
              chosen={head}
              onChoose={(found) => {
                chosenHead.value = found;
              }}
            />
          </section>
          <LensPanel picture={picture} />
        </div>
        <div>
          <HeadPanel picture={picture} head={head} />
          <TryPanel picture={picture} head={head} />
          <WritePanel picture={picture} head={head} />
        </div>
      </div>
    </>
  );
}

/** More would be a gallery. */
const shownPictures = 60;

function PictureStrip({ chosen }: { chosen: number }) {
  const all = pictures();
  const more = all.length - shownPictures;
  return (
    <fieldset class="strip">
      <legend>Picture</legend>
      {all.slice(0, shownPictures).map(({ id, name, url }) => (
        <label key={id}>
          <input
            class="unseen"
            type="radio"
            name="picture"
            checked={id === chosen}
            onChange={() => {
              chosenPicture.value = id;
            }}
          />
          <img src={url} alt={name} loading="lazy" decoding="async" />
        </label>
      ))}
      {more > 0 && <span class="hint">and {plural(more, 'other')}</span>}
    </fieldset>
  );
}
