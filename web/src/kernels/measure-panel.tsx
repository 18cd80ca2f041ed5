// Which problems are measured, and how often.
import { signal } from '@preact/signals';
import { adapterName } from '../parts/adapter.ts';
import { plural } from '../parts/format.ts';
import { job } from '../state/engine.ts';
import type { KernelTable } from '../worker/work.ts';
import { measure, rounds } from './queue.ts';

const filter = signal('');

export function MeasurePanel({ table: { adapter, problems } }: { table: KernelTable }) {
  const wanted = problems.filter(({ name }) => name.includes(filter.value));
  return (
    <section aria-labelledby="measure">
      <h2 id="measure">Measure kernels</h2>
      <p>
        Each kernel is first checked against float64, then timed on {adapterName(adapter)}: as{' '}
        <code>headlight bench</code> does it.
      </p>
      {adapter.software && (
        <p class="note">
          This is a software adapter: kernels run on the processor, and their times are not those of a GPU. Problems
          that would take it minutes are left out.
        </p>
      )}
      <form
        class="row beside-field"
        onSubmit={(event) => {
          event.preventDefault();
          void measure(wanted.map(({ name }) => name));
        }}
      >
        <label class="field grow">
          Only problems whose name contains
          <input
            type="text"
            list="kernel-problems"
            placeholder="all"
            value={filter.value}
            onInput={({ currentTarget }) => {
              filter.value = currentTarget.value;
            }}
          />
        </label>
        <datalist id="kernel-problems">
          {problems.map(({ name }) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <label class="field">
          Rounds
          <select
            value={String(rounds.value)}
            onChange={({ currentTarget }) => {
              rounds.value = Number(currentTarget.value);
            }}
          >
            {[1, 3, 7, 15, 31].map((n) => (
              <option key={n} value={n}>
                {n}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" class="main" disabled={wanted.length === 0 || job.value !== undefined}>
          Measure
        </button>
      </form>
      <p class="hint">
        {wanted.length ? plural(wanted.length, 'problem') : 'No problem has this in its name.'}. Close other tabs that
        compute: they take time from the kernels.
      </p>
    </section>
  );
}
