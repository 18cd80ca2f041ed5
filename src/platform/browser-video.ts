import { VideoError } from './errors.ts';
import type { DecodeVideoOptions, Video } from './types.ts';

/** @throws VideoError always: no browser gives the frames of a video file one by one, exactly. */
export async function decodeVideo(source: string | URL | Uint8Array, options: DecodeVideoOptions): Promise<Video> {
  const label = options.label ?? (source instanceof Uint8Array ? 'video' : String(source));
  throw new VideoError(
    `${label}: video files are not decoded in a browser; draw its frames to a canvas and give them as images, or use Node`,
  );
}
