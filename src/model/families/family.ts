import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { TextConfig } from '../config/text.ts';
import type { ModelInput, Visual, VisualShape } from '../input.ts';
import type { HookPoint } from '../interventions/hook-points.ts';
import type { Hooks } from '../interventions/hooks.ts';
import type { WeightSource } from '../layers/weights.ts';
import type { Size } from '../processor/anyres.ts';
import type { Settings as PreprocessorFile } from '../processor/settings.ts';
import type { PatchGrid, TokenGrid } from '../processor/token-grids.ts';
import type { Processing } from '../processor/visual-processor.ts';

/** A kind of checkpoint: what in config.json tells it, and how that file is read. The next family is one such object. */
export interface Family {
  /** As people call it. */
  readonly name: string;
  /** Values of config.json's `model_type`. */
  readonly modelTypes: readonly string[];
  /**
   * Reads a config.json of the family.
   * @param json config.json, parsed; @param file its name, for errors.
   * @throws ConfigError naming every setting that is wrong or not supported, all at once.
   */
  parse(json: unknown, file: string): Architecture;
}

/** What one config.json describes: a decoder, and in most families something that turns pictures into its embeddings. */
export interface Architecture {
  /** The name of the family, as `inspect` shows it. */
  readonly family: string;
  /** The class in transformers. */
  readonly className: string;
  readonly text: TextConfig;
  /** Absent in text-only decoders. */
  readonly vision?: VisionSide;
}

/** How a family's pictures become rows of embeddings. */
export interface VisionSide {
  /** The settings, as plain data: for `inspect` and for people. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The token ids that hold an image's place in a prompt, and a video's where the family takes videos. */
  readonly imageTokenId: number;
  readonly videoTokenId?: number;
  /** How prompts name pictures, and what is done to these before the tower. */
  readonly processing: Processing;
  /** Blocks of the tower. */
  readonly nLayers: number;
  /** Of the tower and the projector, in the order of a run. */
  readonly hookPoints: readonly HookPoint[];
  /** Names the weights with the shapes that the config implies, and returns what runs on them. */
  encoder(source: WeightSource): VisualEncoder;
  /** Rows that a visual takes in the tower, and the numbers of the widest of them: what bounds a batch. */
  rows(visual: Visual): number;
  readonly widest: number;
  /** Tokens that a visual stands for. @throws InputError for a visual of the wrong shape, or on a kind it does not take. */
  tokens(visual: VisualShape): number;
  /** Where a visual's tokens stand in it: a grid for the image, one for its tiles, or one for each frame. */
  tokenGrids(visual: Visual): readonly TokenGrid[];
  /** Where the tower's patches stand, for each of `visuals` in the order in which the tower sees them. */
  patchGrids(visuals: readonly Visual[]): readonly (readonly PatchGrid[])[];
  /**
   * What the family's image processor makes of the only image of a prompt.
   * @param preprocessor of the image processor.
   * @throws ConfigError for settings that are wrong, InputError for a size that the processor does not take.
   */
  imageShape(image: Size, preprocessor: PreprocessorFile): VisualShape;
  /** Rotary positions of a prompt over time, height and width, [3][tokens], where they are not 0, 1, 2, … */
  positions?(input: ModelInput): readonly ArrayLike<number>[];
}

/** Records the tower and the projector over some pictures. */
export type VisualEncoder = (rec: Recorder, visuals: readonly Visual[], hooks: Hooks) => VisualRows;

export interface VisualRows {
  /** [n, dModel of the decoder] */
  readonly features: Tensor;
  /** Of each visual: which row of `features` each of its tokens takes, or `newlineRow`. */
  readonly rows: readonly ArrayLike<number>[];
  /** LLaVA-NeXT's `image_newline`, [dModel]. */
  readonly newline?: Tensor;
}
