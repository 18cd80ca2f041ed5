import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The source's own platform file, not the built one (package.json, "imports").
  resolve: { conditions: ['development'] },
  ssr: { resolve: { conditions: ['development'] } },
  test: {
    include: ['test/**/*.test.ts'],
    // Dawn and the Vulkan loader read the process environment, which worker threads only have a copy of.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
});
