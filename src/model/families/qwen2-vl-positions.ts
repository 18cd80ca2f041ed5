import type { ModelInput } from '../input.ts';

const f32 = Math.fround;

/** What positions depend on. */
export interface MropeConfig {
  readonly mergeSize: number;
  /** Qwen2.5-VL only: positions that a second of a video takes. */
  readonly tokensPerSecond?: number;
  readonly imageTokenId: number;
  readonly videoTokenId: number;
}

/**
 * Positions of Qwen2-VL's rotary embedding: text counts on alike along all three axes; a picture's tokens stand at their
 * frame, row and column from there; text after it goes on behind its larger side (HF `get_rope_index`), even where a video's
 * frames stand further on.
 * @returns [3][tokens]: time, height, width
 */
export function mropePositions({ inputIds, visuals }: ModelInput, config: MropeConfig): readonly Uint32Array[] {
  const { mergeSize, tokensPerSecond, imageTokenId, videoTokenId } = config;
  const axes = [0, 1, 2].map(() => new Uint32Array(inputIds.length));
  const rest = { image: visuals.filter((v) => v.kind === 'image'), video: visuals.filter((v) => v.kind === 'video') };
  let position = 0;
  for (let i = 0; i < inputIds.length; ) {
    const id = inputIds[i];
    const visual = id === imageTokenId ? rest.image.shift() : id === videoTokenId ? rest.video.shift() : undefined;
    if (!visual?.grid) {
      for (const axis of axes) axis[i] = position;
      position++;
      i++;
      continue;
    }
    const [time, height, width] = visual.grid;
    const [high, wide] = [height / mergeSize, width / mergeSize];
    // Images have no time to space out. HF multiplies in single precision, and cuts off what that gives.
    const step =
      visual.kind === 'video' && tokensPerSecond ? f32(tokensPerSecond * f32(visual.secondsPerPatch ?? 1)) : 1;
    for (let t = 0; t < time; t++)
      for (let y = 0; y < high; y++)
        for (let x = 0; x < wide; x++, i++)
          for (const [axis, offset] of [Math.trunc(f32(t * step)), y, x].entries()) axes[axis][i] = position + offset;
    position += Math.max(high, wide);
  }
  return axes;
}
