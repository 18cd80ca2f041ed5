// The one base of all errors that Headlight throws.

/**
 * What the codes of errors mean. A message may get better words, a code stays: programs should branch on `code` (or on the
 * class), people should read `message`.
 */
export const errorCodes = {
  adapter: 'no WebGPU adapter could be had (NoAdapterError)',
  bound: 'a template or a regular expression of a checkpoint ran longer than it may (BoundError)',
  checkpoint: 'a checkpoint that cannot be read, or does not fit the model (CheckpointError)',
  classifier: 'a classifier’s file is damaged, does not fit the model, or cannot do what is asked (ClassifierError)',
  config: 'a configuration that is not supported (ConfigError)',
  data: 'rows, labels or pictures of examples that cannot be used (DataError)',
  device: 'the GPU device was lost: open a new one (DeviceLostError)',
  download: 'a folder that a download cannot go into (DownloadError)',
  file: 'a file that is missing, cannot be read or cannot be written (FileError)',
  gpu: 'the GPU cannot do what is asked (GpuError)',
  hub: 'what a hub would not or could not give (HubError)',
  image: 'an image that is damaged, too large or of another kind (ImageError)',
  input: 'an argument or option that does not fit (InputError)',
  kernel: 'a kernel that does not compile, or a command that WebGPU refused (KernelError)',
  'not-finite': 'NaN or infinity where a result should be (NotFiniteError)',
  shape: 'tensors whose shapes or dtypes do not fit the operation (ShapeError)',
  template: 'a chat template does what it cannot; callers get it as a ConfigError (JinjaError)',
  usage: 'the command line is wrong (UsageError)',
  video: 'a video that is damaged, too large or cannot be decoded here (VideoError)',
} as const;

/** The code of an error: a key of `errorCodes`. */
export type ErrorCode = keyof typeof errorCodes;

/** Every error that Headlight throws on purpose. */
export abstract class HeadlightError extends Error {
  /** Which kind of error it is; `errorCodes` says what each means. */
  abstract readonly code: ErrorCode;
}
