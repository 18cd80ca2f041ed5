// What was measured: a plot, a table, and the file.
import { useSignal } from '@preact/signals';
import type { BenchmarkRow, Roofline } from 'headlight-vlm/verify';
import { adapterName } from '../parts/adapter.ts';
import { download } from '../parts/download.ts';
import { percent, plural } from '../parts/format.ts';
import { ScrollArea } from '../parts/scroll-area.tsx';
import { ask, job, problem } from '../state/engine.ts';
import { NameList } from './name-list.tsx';
import { type Measured, measured, type Outcome, result } from './queue.ts';
import { RooflinePlot } from './roofline-plot.tsx';

const clocks = {
  timestamps: 'by the GPU’s own timestamps',
  wall: 'by the clock around each submission',
  cpu: 'by CPU time',
};

export function Results() {
  const now = measured.value;
  if (!now) return null;
  const { about, outcomes } = now;
  return (
    <section aria-labelledby="measured">
      <h2 id="measured">What was measured</h2>
      {about && (
        <p>
          {adapterName(about.adapter)}
          {about.adapter.software && ' (a software adapter: not a GPU’s times)'}, {plural(about.rounds, 'round')},{' '}
          {clocks[about.clock]}. A multiply-add kernel reaches {figure(about.roofline.gflops)} GFLOP/s here, a copy{' '}
          {figure(about.roofline.gbps)} GB/s: shares are of these.
        </p>
      )}
      {!job.value && <Ended now={now} />}
      {outcomes.length > 0 && <Table outcomes={outcomes} roofline={about?.roofline} />}
      <NameList title="Too large for a software adapter, left out" names={now.leftOut} of="problem" />
      <NameList title="Not among the masks of your kernel, left out" names={now.notForKernel} of="problem" />
      {result.value && <SaveFile />}
    </section>
  );
}

export function Plot() {
  const found = result.value;
  return found && <RooflinePlot roofline={found.roofline} rows={found.rows} />;
}

/** How far it came. */
function Ended({ now: { wanted, outcomes, leftOut, notForKernel } }: { now: Measured }) {
  const done = outcomes.length + leftOut.length + notForKernel.length;
  const failed = outcomes.filter(({ failures }) => failures.length > 0).length;
  return (
    <>
      {done < wanted && (
        <p class="note">
          Ended after {done} of {plural(wanted, 'problem')}.
        </p>
      )}
      {failed > 0 && <p class="note">{plural(failed, 'problem')} failed, as the table says: not in the file.</p>}
    </>
  );
}

/** Three digits that mean something. */
const figure = (n: number) => n.toLocaleString('en', { maximumSignificantDigits: 3 });

function Table({ outcomes, roofline }: { outcomes: readonly Outcome[]; roofline?: Roofline }) {
  return (
    <ScrollArea label="Times of kernels">
      <table class="confusion kernel-times">
        <caption>
          Milliseconds are of one run: the median over the rounds, then the fastest and the slowest round.
        </caption>
        <thead>
          <tr>
            <th scope="col">candidate</th>
            <th scope="col">ms</th>
            <th scope="col">fastest to slowest</th>
            <th scope="col">GFLOP/s</th>
            <th scope="col">of peak GFLOP/s</th>
            <th scope="col">GB/s</th>
            <th scope="col">of peak GB/s</th>
            <th scope="col">of roofline</th>
            <th scope="col">× baseline</th>
            <th scope="col">error (NMSE)</th>
          </tr>
        </thead>
        {outcomes.map(({ problem, rows, failures }) => (
          <tbody key={problem}>
            <tr>
              <th scope="rowgroup" colSpan={10} class="problem">
                {problem}
              </th>
            </tr>
            {rows.map((row) => (
              <Times key={row.candidate} row={row} roofline={roofline!} />
            ))}
            {failures.map((failure) => (
              <tr key={failure} class="failure">
                <td colSpan={10}>not timed: {failure}</td>
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </ScrollArea>
  );
}

function Times({ row, roofline }: { row: BenchmarkRow; roofline: Roofline }) {
  const { candidate, kernels, milliseconds, fastest, slowest, gflops, gbps, rooflineShare, speedup, error } = row;
  return (
    <tr>
      <th scope="row" title={kernels}>
        {candidate}
      </th>
      <td>{milliseconds.toFixed(3)}</td>
      <td>
        {fastest.toFixed(3)} to {slowest.toFixed(3)}
      </td>
      <td>{figure(gflops)}</td>
      <td>{percent(gflops / roofline.gflops)}</td>
      <td>{figure(gbps)}</td>
      <td>{percent(gbps / roofline.gbps)}</td>
      <td>{percent(rooflineShare)}</td>
      <td>{speedup === undefined ? '' : speedup.toFixed(2)}</td>
      <td>{error === 0 ? '0' : error.toExponential(1)}</td>
    </tr>
  );
}

/** The result as `bench --json` writes it. */
function SaveFile() {
  const copied = useSignal(false);
  const give = async (to: (text: string) => void | Promise<void>) => {
    copied.value = false;
    try {
      const file = await ask('benchmarkFile', { result: result.value!, check: measured.value?.check });
      await to(`${JSON.stringify(file, undefined, 2)}\n`);
    } catch (error) {
      problem.value = (error as Error).message;
    }
  };
  const copy = async (text: string) => {
    await navigator.clipboard.writeText(text);
    copied.value = true;
  };
  const busy = job.value !== undefined;
  return (
    <div class="row">
      <button
        type="button"
        disabled={busy}
        onClick={() => void give((text) => download('headlight-bench.json', text, 'application/json'))}
      >
        Save as JSON
      </button>
      <button type="button" disabled={busy} onClick={() => void give(copy)}>
        Copy as JSON
      </button>
      <span class="hint" aria-live="polite">
        {copied.value ? 'Copied.' : 'The file of headlight bench --json; headlight bench --compare reads it.'}
      </span>
    </div>
  );
}
