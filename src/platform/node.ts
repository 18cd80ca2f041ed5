export * from './node-gpu.ts';
