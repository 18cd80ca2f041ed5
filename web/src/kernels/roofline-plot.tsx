// Each kernel's speed over its arithmetic intensity, under the roof that the adapter was measured to have.
import type { BenchmarkRow, Roofline } from 'headlight-vlm/verify';
import { percent, plural } from '../parts/format.ts';
import { ScrollArea } from '../parts/scroll-area.tsx';

const size = { width: 560, height: 320, left: 64, right: 16, top: 16, bottom: 44 };

/** Powers of ten around some numbers. */
function decades(values: readonly number[]): number[] {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  return Array.from({ length: high - low + 1 }, (_, i) => low + i);
}

/** A logarithmic scale from the first power of ten to the last. */
const scale =
  (powers: readonly number[], from: number, to: number) =>
  (value: number): number =>
    from + ((Math.log10(value) - powers[0]) / (powers[powers.length - 1] - powers[0])) * (to - from);

const tick = (power: number) => (10 ** power).toLocaleString('en', { maximumFractionDigits: 9 });

export function RooflinePlot({ roofline, rows }: { roofline: Roofline; rows: readonly BenchmarkRow[] }) {
  const shown = rows.filter(({ flops }) => flops > 0);
  if (!shown.length) return null;
  const ridge = roofline.gflops / roofline.gbps;
  const [xs, ys] = [
    decades([ridge, ...shown.map(({ flops, bytes }) => flops / bytes)]),
    decades([roofline.gflops, ...shown.map(({ gflops }) => gflops)]),
  ];
  const { width, height, left, right, top, bottom } = size;
  const [x, y] = [scale(xs, left, width - right), scale(ys, height - bottom, top)];
  const [lowest, leftmost] = [10 ** ys[0], 10 ** xs[0]];
  // The slope begins where it enters the plot.
  const start = Math.max(leftmost, lowest / roofline.gbps);
  const roof = [
    [start, start * roofline.gbps],
    [ridge, roofline.gflops],
    [10 ** xs[xs.length - 1], roofline.gflops],
  ];
  const moved = rows.length - shown.length;
  const best = shown.reduce((a, b) => (b.rooflineShare > a.rooflineShare ? b : a));
  return (
    <section aria-labelledby="roofline">
      <h2 id="roofline">Roofline</h2>
      <figure>
        <ScrollArea label="Roofline plot">
          <svg
            class="roofline"
            viewBox={`0 0 ${width} ${height}`}
            role="img"
            aria-label={`Roofline plot of ${plural(shown.length, 'kernel')}; nearest to the roof is ${named(best)}, at ${percent(best.rooflineShare)}. The table has all figures.`}
          >
            {xs.map((power) => (
              <g key={`x${power}`}>
                <line class="grid" x1={x(10 ** power)} x2={x(10 ** power)} y1={top} y2={height - bottom} />
                <text x={x(10 ** power)} y={height - bottom + 16} text-anchor="middle">
                  {tick(power)}
                </text>
              </g>
            ))}
            {ys.map((power) => (
              <g key={`y${power}`}>
                <line class="grid" x1={left} x2={width - right} y1={y(10 ** power)} y2={y(10 ** power)} />
                <text x={left - 8} y={y(10 ** power) + 4} text-anchor="end">
                  {tick(power)}
                </text>
              </g>
            ))}
            <text x={(left + width - right) / 2} y={height - 6} text-anchor="middle">
              floating-point operations a byte
            </text>
            <text
              x={14}
              y={(top + height - bottom) / 2}
              text-anchor="middle"
              transform={`rotate(-90 14 ${(top + height - bottom) / 2})`}
            >
              GFLOP/s
            </text>
            <polyline class="roof" points={roof.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')} />
            {shown.map((row) => (
              <circle
                key={named(row)}
                class={row.candidate === 'default' ? 'default' : 'other'}
                cx={x(row.flops / row.bytes)}
                cy={y(row.gflops)}
                r={5}
              >
                <title>{`${named(row)}: ${row.gflops.toFixed(2)} GFLOP/s, ${percent(row.rooflineShare)} of the roofline`}</title>
              </circle>
            ))}
          </svg>
        </ScrollArea>
        <figcaption>
          The line is what the adapter reaches: the slope by its memory, the level by its arithmetic. Filled points are
          the kernels that run by default, circles are others.
          {moved > 0 && ` ${plural(moved, 'time')} of kernels that only move numbers: not shown.`}
        </figcaption>
      </figure>
    </section>
  );
}

const named = ({ op, sizes, candidate }: BenchmarkRow) => `${op} ${sizes}: ${candidate}`;
