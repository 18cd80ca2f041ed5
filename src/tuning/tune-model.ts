// Which kernels are the fastest for a model on its adapter.
import { DryGpu } from '../gpu/dry-gpu.ts';
import { openGpu } from '../gpu/gpu.ts';
import type { TunedChoices, TuningQuestion } from '../gpu/tuning.ts';
import type { ModelInput } from '../model/input.ts';
import { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { recordPrefill, recordStep } from '../model/plan/dry-run.ts';
import { askingTuning, type TunedShape, tune, tunedChoices } from '../verify/tune.ts';

/** What the launchers of a model ask when it runs a prompt, as `fit` and `classify` do and as generation does, and the token after it. */
export function tuningQuestions(model: Model, input: ModelInput): TuningQuestion[] {
  const asking = askingTuning();
  const { config, cacheFormat, forward } = model;
  const gpu = new DryGpu(model.gpu.capabilities, asking);
  const dry = new Model({ gpu, config, weights: forward.weights, cacheFormat });
  dry.dispatches(input, { namesFilter: ['logits'], posSlice: -1 });
  recordPrefill(dry, input);
  recordStep(dry, input.inputIds.length);
  return asking.asked();
}

/** How a model is tuned. */
export interface TuneModelOptions {
  /** How often each candidate has its turn. Default 7. */
  readonly rounds?: number;
  /** Ends it between two measurements. */
  readonly signal?: AbortSignal;
  /** Told what is measured next. */
  readonly onProgress?: (message: string) => void;
}

/** What a model was tuned to. */
export interface ModelTuning {
  /** Of each class of shapes that was measured. */
  readonly shapes: readonly TunedShape[];
  /** What was worth its place, and what the model's GPU had for other shapes: for `keepTuning`, and `openGpu({ tuning })`. */
  readonly choices: TunedChoices;
}

/**
 * Times the candidates of matrix products and attention at the shapes that the model runs for a prompt and the token after it, as
 * `headlight tune` does: seconds to minutes. Each one's output is checked first; what is kept beat the default by 3 % or more, twice.
 * The model itself goes on as it is: choices are of the GPU that is opened with them (docs/adr/0021-tuning.md).
 * @param input of a length and with pictures as they will come.
 * @throws KernelError where a default is wrong; the signal's reason when aborted.
 */
export async function tuneModel(
  model: Model,
  input: ModelInput,
  { rounds, signal, onProgress, ...others }: TuneModelOptions = {},
): Promise<ModelTuning> {
  checkOptions(others, ['rounds', 'signal', 'onProgress'], 'tuneModel');
  const { device, capabilities, tuning } = model.gpu;
  const gpu = await openGpu({ device, arithmetic: capabilities.subgroupMatrix ? 'f16' : 'f32' }); // with no tuning of its own
  try {
    const result = await tune(gpu, tuningQuestions(model, input), {
      rounds,
      onProgress(message) {
        signal?.throwIfAborted();
        onProgress?.(message);
      },
    });
    return { shapes: result.shapes, choices: tunedChoices(tuning.choices, result) };
  } finally {
    gpu.dispose();
  }
}
