export * from './errors.ts';
export * from './node-bounded.ts';
export * from './node-debug.ts';
export { fileSha256, openFolder, openSource, readFileBytes } from './node-files.ts';
export * from './node-gpu.ts';
export * from './node-image.ts';
export * from './node-video.ts';
export * from './node-wait.ts';
export type * from './types.ts';
