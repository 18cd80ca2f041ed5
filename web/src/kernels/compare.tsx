// Two results side by side, as `bench --compare` shows them.
import { signal } from '@preact/signals';
import type { BenchmarkFile, Comparison } from 'headlight-vlm/verify';
import { adapterName } from '../parts/adapter.ts';
import { ChooseFiles } from '../parts/choose-files.tsx';
import { percent, plural } from '../parts/format.ts';
import { ScrollArea } from '../parts/scroll-area.tsx';
import { ask, job } from '../state/engine.ts';
import { NameList } from './name-list.tsx';
import { measured, result } from './queue.ts';

interface Opened {
  readonly name: string;
  readonly file: BenchmarkFile;
}

const sides = ['A', 'B'] as const;
type Side = (typeof sides)[number];

const opened = signal<Partial<Record<Side, Opened>>>({});
const comparison = signal<Comparison | undefined>(undefined);
const problem = signal<string | undefined>(undefined);

/** Takes a result as one of the two. */
async function take(side: Side, name: string, read: () => Promise<BenchmarkFile>): Promise<void> {
  problem.value = undefined;
  try {
    const file = await read();
    opened.value = { ...opened.value, [side]: { name, file } };
    const { A, B } = opened.value;
    comparison.value = A && B && (await ask('compareBenchmarks', [A.file, B.file]));
  } catch (error) {
    problem.value = (error as Error).message;
  }
}

const takeFile = (side: Side, file: File) => take(side, file.name, () => ask('readBenchmarks', file));

const takeMeasured = (side: Side) =>
  take(side, 'measured here', () => ask('benchmarkFile', { result: result.value!, check: measured.value?.check }));

export function Compare() {
  const busy = job.value !== undefined;
  return (
    <section aria-labelledby="compare">
      <h2 id="compare">Compare two results</h2>
      {sides.map((side) => (
        <div key={side} class="row">
          <ChooseFiles
            label={`Open ${side}`}
            accept=".json,application/json"
            disabled={busy}
            onFiles={([file]) => void takeFile(side, file)}
          />
          <button type="button" disabled={busy || !result.value} onClick={() => void takeMeasured(side)}>
            {side} is what was measured here
          </button>
          <span class="hint">{about(opened.value[side])}</span>
        </div>
      ))}
      {problem.value !== undefined && <p role="alert">{problem.value}</p>}
      {comparison.value && <Compared {...comparison.value} />}
    </section>
  );
}

function about(one: Opened | undefined): string {
  if (!one) return 'a file of headlight bench --json, or of this page';
  const { adapter, headlight, clock, roofline, runtime } = one.file;
  const of = `${adapterName(adapter)}${adapter.software ? ' (software adapter)' : ''}`;
  return `${one.name}: ${of}, Headlight ${headlight}, ${runtime}, clock: ${clock}, roofline ${roofline.gflops.toFixed(1)} GFLOP/s and ${roofline.gbps.toFixed(1)} GB/s`;
}

function Compared({ rows, ratio, onlyA, onlyB }: Comparison) {
  const { A, B } = opened.value;
  return (
    <>
      {A?.file.clock !== B?.file.clock && (
        <p class="note">The two were timed by different clocks: ratios mean little.</p>
      )}
      {ratio === undefined ? (
        <p>Nothing is in both.</p>
      ) : (
        <>
          <p>
            B takes <strong>{ratio.toFixed(2)}</strong> times what A takes: geometric mean over{' '}
            {plural(rows.length, 'row')}; below 1 B is faster.
          </p>
          <ScrollArea label="Both results">
            <table class="confusion kernel-times">
              <caption>Rounds are apart where the slowest of one is faster than the fastest of the other.</caption>
              <thead>
                <tr>
                  <th scope="col">problem</th>
                  <th scope="col">candidate</th>
                  <th scope="col">A ms</th>
                  <th scope="col">B ms</th>
                  <th scope="col">B / A</th>
                  <th scope="col">rounds</th>
                  <th scope="col">A of its roofline</th>
                  <th scope="col">B of its roofline</th>
                </tr>
              </thead>
              <tbody>
                {rows.map(({ op, sizes, candidate, a, b, ratio, apart }) => (
                  <tr key={`${op} ${sizes} ${candidate}`}>
                    <th scope="row">
                      {op} {sizes}
                    </th>
                    <td>{candidate}</td>
                    <td>{a.milliseconds.toFixed(3)}</td>
                    <td>{b.milliseconds.toFixed(3)}</td>
                    <td>{ratio.toFixed(2)}</td>
                    <td>{apart ? 'apart' : 'overlap'}</td>
                    <td>{percent(a.rooflineShare)}</td>
                    <td>{percent(b.rooflineShare)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </ScrollArea>
        </>
      )}
      <NameList title="Only in A" names={onlyA} of="row" />
      <NameList title="Only in B" names={onlyB} of="row" />
    </>
  );
}
