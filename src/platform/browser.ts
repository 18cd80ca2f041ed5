export * from './browser-gpu.ts';
