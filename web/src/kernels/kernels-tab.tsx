// Our kernels in this browser: verified, timed, held against what the adapter can do; kernels of the user's own; two results.
import { useEffect } from 'preact/hooks';
import { Compare } from './compare.tsx';
import { MeasurePanel } from './measure-panel.tsx';
import { OwnPanel } from './own-panel.tsx';
import { readTable, table, tableProblem } from './queue.ts';
import { Plot, Results } from './results.tsx';

export function KernelsTab() {
  useEffect(() => {
    if (!table.value) void readTable();
  }, []);
  if (tableProblem.value !== undefined)
    return (
      <section>
        <p role="alert">{tableProblem.value}</p>
        <button type="button" onClick={() => void readTable()}>
          Try again
        </button>
      </section>
    );
  if (!table.value) return <p class="hint">The worker says what can be measured when it has done what it is at.</p>;
  return (
    <>
      <div class="columns">
        <div>
          <MeasurePanel table={table.value} />
          <Plot />
        </div>
        <OwnPanel table={table.value} />
      </div>
      <Results />
      <Compare />
    </>
  );
}
