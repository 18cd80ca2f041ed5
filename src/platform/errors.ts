/** A file that is missing, unreadable or outside its folder. Messages are one line and name the file. */
export class FileError extends Error {
  override name = 'FileError';
}

/** An image that is corrupt, too large, or of a kind that is not supported. Messages start with the image's label. */
export class ImageError extends Error {
  override name = 'ImageError';
}

/** No WebGPU adapter could be had; the message says what was tried and what to install. */
export class NoAdapterError extends Error {
  override name = 'NoAdapterError';
}

/** A video that is corrupt, too large, or cannot be decoded here. Messages start with the video's label. */
export class VideoError extends Error {
  override name = 'VideoError';
}

/** What a checkpoint brought (a template, a regular expression) ran longer than it may, or was ended by Ctrl-C. */
export class BoundError extends Error {
  override name = 'BoundError';
}
