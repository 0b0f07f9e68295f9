import { defineConfig } from 'vitest/config';

// A test's servers live for a minute or two: the JVM's second compiler would cost more than it saves. Set here and not in
// `test.env`, since the global set-up runs in this process.
process.env.SLUICE_JAVA_OPTIONS ??= '-XX:TieredStopAtLevel=1';

/** Projects run one after the other: first what needs no server, then parts on real servers, then the whole. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['tests/unit/**/*.test.ts'],
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['tests/integration/**/*.test.ts'],
          globalSetup: ['tests/support/servers.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          // Two whole stacks at a time: much of a test is waiting for servers.
          maxWorkers: 2,
          testTimeout: 600_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
