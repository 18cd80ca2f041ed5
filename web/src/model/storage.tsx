// What the browser keeps for the page, and a way to free it.
import { signal } from '@preact/signals';
import type { KeptCheckpoint } from 'headlight-vlm';
import { useEffect } from 'preact/hooks';
import { forgetFeatures } from '../kept/database.ts';
import { notKept } from '../kept/project.ts';
import { offline } from '../offline/register.ts';
import { bytes } from '../parts/format.ts';
import { ask, model, problem } from '../state/engine.ts';
import { clearProject } from '../state/project.ts';

const used = signal<number | undefined>(undefined);
const isLasting = signal<boolean | undefined>(undefined);

const checkpoints = signal<readonly KeptCheckpoint[]>([]);

async function measure(): Promise<void> {
  checkpoints.value = await ask('kept', undefined);
  used.value = (await navigator.storage?.estimate())?.usage;
  isLasting.value = await navigator.storage?.persisted();
}

async function free(what: () => Promise<void>): Promise<void> {
  try {
    await what();
    await measure();
  } catch (error) {
    problem.value = (error as Error).message;
  }
}

export function Storage() {
  useEffect(() => void measure(), [model.value]);
  return (
    <section aria-labelledby="storage">
      <h2 id="storage">Kept in this browser</h2>
      {notKept.value === undefined ? (
        <p>
          Pictures, classes and what the heads made of each picture
          {used.value !== undefined && `: ${bytes(used.value)}`}.
          {isLasting.value === false && ' The browser may delete it when space is short.'}
        </p>
      ) : (
        <p class="note">This browser keeps nothing for the page ({notKept.value}): all is gone when it is closed.</p>
      )}
      <p>{offline.value}</p>
      {checkpoints.value.length > 0 && (
        <ul class="doubts" aria-label="Checkpoints">
          {checkpoints.value.map(({ name, bytes: size, whole }) => (
            <li key={name} class="kept">
              <span class="file-name">
                {name}: {bytes(size)}
                {!whole && ', not all of it yet'}
              </span>
              <button
                type="button"
                aria-label={`Free ${name}`}
                onClick={() => void free(async () => void (await ask('free', name)))}
              >
                Free
              </button>
            </li>
          ))}
        </ul>
      )}
      <div class="row">
        {isLasting.value === false && (
          <button type="button" onClick={() => void navigator.storage.persist().then(measure)}>
            Keep it
          </button>
        )}
        <button type="button" onClick={() => void free(forgetFeatures)}>
          Free what heads made of pictures
        </button>
        <button type="button" onClick={clearProject}>
          Remove all pictures and classes
        </button>
      </div>
    </section>
  );
}
