// What leave-one-out says of the classifier: how often it is right, what it confuses, which labels it doubts.
import { useSignal } from '@preact/signals';
import { download } from '../parts/download.ts';
import { percent, plural } from '../parts/format.ts';
import { OpenFile } from '../parts/open-file.tsx';
import { ask, fitted, job, problem, readClassifier } from '../state/engine.ts';
import { classes, movePicture, trainingById } from '../state/project.ts';
import type { Fitted, Judged } from '../worker/work.ts';

export function Results() {
  const found = fitted.value;
  return (
    <section aria-labelledby="results">
      <h2 id="results">Classifier</h2>
      {found ? <Summary found={found} /> : <p class="hint">None yet: fit one, or open a file.</p>}
      <div class="row">
        {found && (
          <button type="button" onClick={() => void save()}>
            Save the classifier
          </button>
        )}
        <OpenFile
          label="Open a classifier"
          accept=".safetensors"
          disabled={job.value !== undefined}
          onFile={(name, bytes) => void readClassifier(name, bytes)}
        />
      </div>
    </section>
  );
}

async function save(): Promise<void> {
  try {
    download('classifier.safetensors', await ask('save', undefined), 'application/octet-stream');
  } catch (error) {
    problem.value = (error as Error).message;
  }
}

function Summary({ found }: { found: Fitted }) {
  const { judged, labels, counts, heads, notes, forwards } = found;
  return (
    <>
      <p class="figure">
        {judged ? (
          <>
            <strong data-testid="accuracy">{percent(judged.correct / judged.n)}</strong> right by leave-one-out:{' '}
            {judged.correct} of {judged.n}; 95 % interval {percent(judged.interval[0])} to {percent(judged.interval[1])}
            ; chance {percent(judged.chance)}
          </>
        ) : (
          <>Not measured: no picture could be left out.</>
        )}
      </p>
      <p class="hint">
        {plural(heads.length, 'head')} vote among {labels.map((label, i) => `${label} (${counts[i]})`).join(', ')}.
        {judged && ` ${shown(forwards, found.nExamples)}`}
      </p>
      {notes.map((note) => (
        <p key={note} class="note">
          {note}
        </p>
      ))}
      {found.unreadable.map(({ id, problem }) => (
        <p key={id} class="note">
          Left out: {problem}
        </p>
      ))}
      {judged && <Confusion judged={judged} labels={labels} />}
      {found.doubts.length > 0 && <Doubts found={found} />}
    </>
  );
}

function shown(forwards: number, all: number): string {
  if (forwards === all) return '';
  if (forwards === 0) return 'The model knew all pictures.';
  return `The model was shown ${plural(forwards, 'picture')}, and knew the others.`;
}

function Confusion({ judged, labels }: { judged: Judged; labels: readonly string[] }) {
  const open = useSignal<readonly [number, number] | undefined>(undefined);
  const [row, column] = open.value ?? [];
  const inside =
    row === undefined || column === undefined
      ? []
      : judged.predicted.filter(({ truth, label }) => truth === labels[row] && label === labels[column]);
  return (
    <>
      <div class="wide">
        <table class="confusion">
          <caption>Each picture, judged by a classifier fitted without it</caption>
          <thead>
            <tr>
              <th scope="col">label ↓ given →</th>
              {labels.map((label) => (
                <th key={label} scope="col">
                  {label}
                </th>
              ))}
              <th scope="col">right</th>
            </tr>
          </thead>
          <tbody>
            {labels.map((label, r) => (
              <tr key={label}>
                <th scope="row">{label}</th>
                {labels.map((given, c) => {
                  const n = judged.confusion[r]?.[c] ?? 0;
                  return (
                    <td key={given} data-right={r === c} data-some={n > 0}>
                      {n > 0 ? (
                        <button
                          type="button"
                          aria-label={`${n} of ${label} given ${given}: show`}
                          aria-pressed={row === r && column === c}
                          onClick={() => {
                            open.value = row === r && column === c ? undefined : [r, c];
                          }}
                        >
                          {n}
                        </button>
                      ) : (
                        '·'
                      )}
                    </td>
                  );
                })}
                <td>{judged.recall[r] === null ? '–' : percent(judged.recall[r] ?? 0)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {inside.length > 0 && (
        <ul class="thumbs" aria-label={`${labels[row!]} given ${labels[column!]}`}>
          {inside.map(({ id }) => {
            const own = trainingById.value.get(id);
            return (
              own && (
                <li key={id}>
                  <img src={own.picture.url} alt={own.picture.name} />
                </li>
              )
            );
          })}
        </ul>
      )}
    </>
  );
}

function Doubts({ found: { doubts } }: { found: Fitted }) {
  return (
    <details open>
      <summary>{plural(doubts.length, 'doubtful label')}</summary>
      <ul class="doubts">
        {doubts.map(({ id, suggested, against, heads }) => {
          const own = trainingById.value.get(id);
          if (!own) return null;
          const target = classes.value.find(({ name }) => name.trim() === suggested);
          return (
            <li key={id}>
              <img src={own.picture.url} alt={own.picture.name} />
              <span>
                labelled <b>{own.name}</b>; {against} of {heads} heads say otherwise, most <b>{suggested}</b>
              </span>
              {target && target.id !== own.id && (
                <button type="button" onClick={() => movePicture(id, target.id)}>
                  Move to {suggested}
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </details>
  );
}
