// One head and one picture: where it looks, and what it writes.
import type { Head } from 'headlight-vlm';
import { percent } from '../parts/format.ts';
import { answers, ask, asked, rowOf } from '../state/engine.ts';
import { type Picture, trainingById } from '../state/project.ts';
import { useLatest } from './latest.ts';
import { Overlay } from './overlay.tsx';

export function HeadPanel({ picture, head: { layer, head } }: { picture: Picture; head: Head }) {
  const key = `${picture.id} ${layer}.${head} ${asked.value}`;
  const looked = useLatest(key, () =>
    ask('look', { row: rowOf(picture), question: asked.value, head: { layer, head } }),
  ).value;
  const { value, problem, waiting } = looked;
  const nearest = answers.value.get(picture.id)?.nearest;
  const like = nearest && trainingById.value.get(nearest.id);
  return (
    <section aria-labelledby="head" aria-busy={waiting}>
      <h2 id="head">
        Head {layer}.{head}
      </h2>
      {problem !== undefined && <p role="alert">{problem}</p>}
      {!value && !problem && <p class="hint">looking …</p>}
      {value && (
        <>
          <p>
            It gives the picture <strong>{percent(value.share)}</strong> of its attention.
          </p>
          <div class="pictures">
            <figure>
              <img src={picture.url} alt={picture.name} />
              <figcaption>the picture</figcaption>
            </figure>
            {value.grids.map((grid) => (
              <Overlay key={grid.label} picture={picture} grid={grid} />
            ))}
            {like && (
              <figure>
                <img src={like.picture.url} alt={like.picture.name} />
                <figcaption>most alike to the chosen heads: {like.name}</figcaption>
              </figure>
            )}
          </div>
          <dl class="words">
            <dt>It writes for</dt>
            <dd>{value.promoted.join(' ')}</dd>
            <dt>and against</dt>
            <dd>{value.suppressed.join(' ')}</dd>
          </dl>
        </>
      )}
    </section>
  );
}
