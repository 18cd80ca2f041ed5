import { HeadlightError } from '../base/error.ts';

/** A file that is missing, unreadable or outside its folder. Messages are one line and name the file. */
export class FileError extends HeadlightError {
  override name = 'FileError';
  readonly code = 'file';
}

/** An image that is corrupt, too large, or of a kind that is not supported. Messages start with the image's label. */
export class ImageError extends HeadlightError {
  override name = 'ImageError';
  readonly code = 'image';
}

/** No WebGPU adapter could be had; the message says what was tried and what to install. */
export class NoAdapterError extends HeadlightError {
  override name = 'NoAdapterError';
  readonly code = 'adapter';
}

/** A video that is corrupt, too large, or cannot be decoded here. Messages start with the video's label. */
export class VideoError extends HeadlightError {
  override name = 'VideoError';
  readonly code = 'video';
}

/** What a checkpoint brought (a template, a regular expression) ran longer than it may, or was ended by Ctrl-C. */
export class BoundError extends HeadlightError {
  override name = 'BoundError';
  readonly code = 'bound';
}
