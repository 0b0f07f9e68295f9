/** Run in front of each file on real servers: what a test and a hook may take there. A part that hangs is told after two minutes. */
import { expect, vi } from 'vitest';

const whole = expect.getState().testPath?.includes('/tests/e2e/') === true;
vi.setConfig(whole ? { testTimeout: 600_000, hookTimeout: 300_000 } : { testTimeout: 120_000, hookTimeout: 180_000 });
