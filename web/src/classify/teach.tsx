// The question, the classes, and their pictures.
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { DropArea } from '../parts/drop-area.tsx';
import { allOf, FileButton } from '../parts/file-button.tsx';
import { plural } from '../parts/format.ts';
import { Webcam } from '../parts/webcam.tsx';
import type { Given } from '../state/drop.ts';
import { problem, unreadable } from '../state/engine.ts';
import {
  addClass,
  addClasses,
  addPictures,
  classes,
  type PictureClass,
  question,
  removeClass,
  removePicture,
  renameClass,
} from '../state/project.ts';
import { type SampleTask, sampleTasks, useSample } from '../state/samples.ts';

export function Teach() {
  const onGiven = ({ loose, byClass }: Given) => {
    if (byClass.size) addClasses(byClass);
    if (loose.length)
      problem.value = `${plural(loose.length, 'picture')} without a class: drop them on a class, or drop a folder that has a folder for each class.`;
  };
  return (
    <section aria-labelledby="teach">
      <h2 id="teach">Teach</h2>
      <Samples />
      <label class="field">
        Question to the model
        <input
          type="text"
          value={question.value}
          onInput={({ currentTarget }) => {
            question.value = currentTarget.value;
          }}
        />
      </label>
      <DropArea onGiven={onGiven} class="classes">
        {classes.value.map((own) => (
          <ClassCard key={own.id} own={own} />
        ))}
        <div class="row">
          <button type="button" onClick={() => addClass()}>
            Add a class
          </button>
          <FileButton label="Open a folder of class folders" folder onGiven={onGiven} />
          <span class="hint">or drop one here</span>
        </div>
      </DropArea>
    </section>
  );
}

function Samples() {
  const tasks = useSignal<readonly SampleTask[]>([]);
  useEffect(() => {
    sampleTasks().then(
      (found) => {
        tasks.value = found;
      },
      (error: Error) => {
        problem.value = `The sample tasks cannot be read: ${error.message}`;
      },
    );
  }, []);
  return (
    <label class="field">
      Sample task
      <select
        value=""
        onChange={({ currentTarget }) => {
          const task = tasks.value.find(({ name }) => name === currentTarget.value);
          currentTarget.value = '';
          if (task)
            useSample(task).catch((error: Error) => {
              problem.value = error.message;
            });
        }}
      >
        <option value="">Choose one to try it out …</option>
        {tasks.value.map(({ name, title }) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Thumbnails that are shown before one asks for more. */
const shownAtFirst = 12;

function ClassCard({ own: { id, name, pictures } }: { own: PictureClass }) {
  const camera = useSignal(false);
  const all = useSignal(false);
  const shown = all.value ? pictures : pictures.slice(0, shownAtFirst);
  const more = pictures.length - shown.length;
  const called = name || 'a class without a name';
  return (
    <DropArea class="class-card" onGiven={(given) => addPictures(id, allOf(given))}>
      <div class="row">
        <input
          class="class-name"
          type="text"
          aria-label={`Name of class ${called}`}
          placeholder="name"
          value={name}
          onInput={({ currentTarget }) => renameClass(id, currentTarget.value)}
        />
        <span class="count">{plural(pictures.length, 'picture')}</span>
        <button type="button" class="quiet" aria-label={`Remove class ${called}`} onClick={() => removeClass(id)}>
          ✕
        </button>
      </div>
      {pictures.length > 0 && (
        <ul class="thumbs">
          {shown.map((picture) => (
            <li
              key={picture.id}
              class={unreadable.value.has(picture.id) ? 'unreadable' : ''}
              title={unreadable.value.get(picture.id)}
            >
              <img src={picture.url} alt={picture.name} loading="lazy" decoding="async" />
              <button
                type="button"
                class="quiet"
                aria-label={`Remove ${picture.name} from ${called}`}
                onClick={() => removePicture(picture.id)}
              >
                ✕
              </button>
            </li>
          ))}
        </ul>
      )}
      {more > 0 && (
        <button
          type="button"
          class="quiet"
          onClick={() => {
            all.value = true;
          }}
        >
          {plural(more, 'more picture')}
        </button>
      )}
      {camera.value && (
        <Webcam
          onPicture={(picture) => addPictures(id, [picture])}
          onClose={() => {
            camera.value = false;
          }}
        />
      )}
      <div class="row">
        <FileButton label={`Add pictures of ${called}`} onGiven={(given) => addPictures(id, allOf(given))} />
        {!camera.value && (
          <button
            type="button"
            aria-label={`Use the camera for ${called}`}
            onClick={() => {
              camera.value = true;
            }}
          >
            Camera
          </button>
        )}
      </div>
    </DropArea>
  );
}
