import { statfsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import Interleaved from './tests/support/sequencer.ts';

// A test's servers live for a minute or two: the JVM's second compiler would cost more than it saves, and so does proving the same classes sound at
// each start. Set here and not in `test.env`, since the global set-up runs in this process.
process.env.SLUICE_JAVA_OPTIONS ??=
  '-XX:TieredStopAtLevel=1 -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote';

// The servers' folders in memory, where there is enough of it: files that live for minutes cost more in making and removing them on a disk than
// all that the servers do with them. What a kill leaves behind is the same, since the system outlives it.
if (roomIn('/dev/shm') > 8 * 2 ** 30) process.env.TMPDIR ??= '/dev/shm';

function roomIn(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return 0;
  }
}

/** Files run in the processes of those before: a fresh one imports everything anew, which was 12 of the 40 seconds of the unit tests. */
const SHARED_PROCESSES = { isolate: false, unstubEnvs: true, restoreMocks: true };

export default defineConfig({
  test: {
    sequence: { sequencer: Interleaved },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['tests/unit/**/*.test.ts'],
          // Without it one less than there are cores: one of two.
          maxWorkers: '100%',
          ...SHARED_PROCESSES,
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          // Parts on real servers, and the whole, three files at a time: much of each is waiting for servers; a fourth only lets both cores be slower.
          // One project, since each has processes of its own.
          name: 'servers',
          include: ['tests/integration/**/*.test.ts', 'tests/e2e/**/*.test.ts'],
          globalSetup: ['tests/support/servers.ts'],
          maxWorkers: 3,
          ...SHARED_PROCESSES,
          setupFiles: ['tests/support/timeouts.ts'],
          // After what needs no server.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
