// WGSL of the user's own, held against float64, with errors at its lines; then timed beside ours.
import { signal } from '@preact/signals';
import type { CheckResult, KernelOp, SourcePlace } from 'headlight-vlm';
import { useRef } from 'preact/hooks';
import { plural } from '../parts/format.ts';
import { ScrollArea } from '../parts/scroll-area.tsx';
import { ask, job, problem, work } from '../state/engine.ts';
import type { CheckedKernel, KernelTable, OwnKernel } from '../worker/work.ts';
import { measure } from './queue.ts';
import { focusLine, SourceEditor } from './source-editor.tsx';

const example = `@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i < params.count) {
    out[i] = a[i] + b[i];
  }
}
`;

const own = signal<OwnKernel>({ op: 'add', wgsl: example });
/** What came of the last check, and of which source. */
const checked = signal<{ readonly of: OwnKernel; readonly outcome: CheckedKernel } | undefined>(undefined);
const header = signal<{ readonly op: KernelOp; readonly text: string } | undefined>(undefined);

async function check(): Promise<void> {
  const of = own.value;
  checked.value = undefined;
  const outcome = await work(`checking ${of.op}`, (context) => ask('checkKernel', of, context));
  if (outcome) checked.value = { of, outcome };
}

async function showHeader(op: KernelOp): Promise<void> {
  try {
    header.value = { op, text: await ask('kernelHeader', op) };
  } catch (error) {
    problem.value = (error as Error).message;
  }
}

export function OwnPanel({ table }: { table: KernelTable }) {
  const editor = useRef<HTMLTextAreaElement>(null);
  const { op, wgsl } = own.value;
  const found = checked.value?.of === own.value ? checked.value.outcome : undefined;
  const passed = found?.result?.passed ? found.result : undefined;
  const places = found?.refused?.places ?? [];
  const timeIt = () => {
    const problems = table.problems.filter((each) => each.op === op).map(({ name }) => name);
    void measure(problems, { own: own.value, check: passed! });
  };
  return (
    <section aria-labelledby="own">
      <h2 id="own">Your own WGSL</h2>
      <label class="field">
        In the place of
        <select
          value={op}
          onChange={({ currentTarget }) => {
            own.value = { op: currentTarget.value as KernelOp, wgsl };
            header.value = undefined;
          }}
        >
          {table.ops.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <SourceEditor
        label="WGSL source"
        input={editor}
        value={wgsl}
        marked={places.map(({ line }) => line)}
        onInput={(text) => {
          own.value = { op, wgsl: text };
        }}
      />
      {header.value?.op === op ? (
        <ScrollArea label={`Header of ${op}`}>
          <pre class="source-header">{header.value.text}</pre>
        </ScrollArea>
      ) : (
        <p class="hint">
          It is put behind the header of our kernel: bindings, params and constants.{' '}
          <button type="button" class="quiet" onClick={() => void showHeader(op)}>
            Show the header of {op}
          </button>
        </p>
      )}
      <div class="row">
        <button type="button" disabled={!wgsl.trim() || job.value !== undefined} onClick={() => void check()}>
          Check against float64
        </button>
        <button type="button" disabled={!passed || job.value !== undefined} onClick={timeIt}>
          Time it beside ours
        </button>
      </div>
      <div aria-live="polite" class="check-outcome">
        {found?.refused && (
          <Refused {...found.refused} onPlace={({ line }) => editor.current && focusLine(editor.current, line)} />
        )}
        {found?.result && <Outcome result={found.result} />}
      </div>
    </section>
  );
}

function Refused({
  message,
  places,
  onPlace,
}: {
  message: string;
  places: readonly SourcePlace[];
  onPlace: (place: SourcePlace) => void;
}) {
  if (!places.length) return <p class="failure">{message}</p>;
  return (
    <ul class="places" aria-label="Errors">
      {places.map((place) => (
        <li key={`${place.line} ${place.column} ${place.message}`}>
          <button type="button" onClick={() => onPlace(place)}>
            line {place.line}, column {place.column}
          </button>{' '}
          <span class="failure">{place.message}</span>
        </li>
      ))}
    </ul>
  );
}

function Outcome({ result: { passed, rows } }: { result: CheckResult }) {
  const worst = Math.max(...rows.map(({ error }) => error));
  const wrong = rows.filter(({ failure }) => failure !== undefined);
  if (passed)
    return (
      <p>
        <strong>Right</strong> on all {plural(rows.length, 'problem')}; error (NMSE){' '}
        {worst === 0 ? '0' : `at most ${worst.toExponential(1)}`}.
      </p>
    );
  return (
    <>
      <p class="failure">
        <strong>Wrong</strong> on {wrong.length} of {plural(rows.length, 'problem')}. A wrong kernel is not timed.
      </p>
      <ul>
        {wrong.map((row) => (
          <li key={row.problem}>
            {row.problem}: {row.failure}
          </li>
        ))}
      </ul>
    </>
  );
}
