// Attention over the user's own picture.
import { useSignal } from '@preact/signals';
import { heat } from 'headlight-vlm/charts';
import { useEffect, useRef } from 'preact/hooks';
import type { Picture } from '../state/project.ts';
import type { AttentionGrid } from '../worker/work.ts';

/** The picture in grey, the deeper a red over each place the more the head attends to it. */
export function Overlay({ picture, grid }: { picture: Picture; grid: AttentionGrid }) {
  const { label, rows, columns, area } = grid;
  const size = useSignal<{ readonly width: number; readonly height: number } | undefined>(undefined);
  const { width, height } = size.value ?? { width: 1, height: 1 };
  const share = (length: number, whole: number) => `${(100 * length) / whole}%`;
  return (
    <figure>
      <div class="overlay">
        <img
          src={picture.url}
          alt={`where the head looks in ${picture.name}: ${label}, ${rows} by ${columns} places`}
          onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) => {
            size.value = { width: naturalWidth, height: naturalHeight };
          }}
        />
        {size.value && area && (
          <Weights
            grid={grid}
            style={{
              left: share(area.left, width),
              top: share(area.top, height),
              width: share(area.width, width),
              height: share(area.height, height),
            }}
          />
        )}
      </div>
      <figcaption>where it looks: {label}, the deeper a red the more</figcaption>
    </figure>
  );
}

/** A pixel for each place; the page stretches them. */
function Weights({ grid, style }: { grid: AttentionGrid; style: Record<string, string> }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { rows, columns, values } = grid;
  useEffect(() => {
    const image = new ImageData(columns, rows);
    const most = values.reduce((a, b) => Math.max(a, b), 0);
    for (const [i, value] of values.entries()) {
      const { rgb, opacity } = heat(most > 0 ? value / most : 0);
      image.data.set([...rgb, Math.round(255 * opacity)], 4 * i);
    }
    canvas.current?.getContext('2d')?.putImageData(image, 0, 0);
  }, [grid]);
  return <canvas ref={canvas} width={columns} height={rows} style={style} />;
}
