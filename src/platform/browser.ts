export * from './browser-bounded.ts';
export * from './browser-debug.ts';
export * from './browser-files.ts';
export * from './browser-gpu.ts';
export * from './browser-image.ts';
export * from './browser-kept-texts.ts';
export * from './browser-video.ts';
export * from './errors.ts';
export type * from './types.ts';
