import { expect, it } from 'vitest';
import { familyOf, machineTimes, parseMachineStat, parseStat, processTimes } from '../../../scripts/bench/proc.ts';

const stat = (pid: number, name: string, parent: number, ticks: readonly number[]) =>
  `${pid} (${name}) S ${parent} 1 1 0 -1 4194560 1 2 3 4 ${ticks.join(' ')} 20 0 1 0 100 0 0`;

it('reads a process whose name looks like fields', () => {
  expect(parseStat(stat(42, 'a) S 9 (b', 7, [1, 2, 3, 4]))).toEqual({ pid: 42, parent: 7, cpuMicros: 100_000 });
});

it('counts what waits for the disk as idle', () => {
  const text = 'cpu  10 1 5 70 14 2 3 4 6 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n';
  expect(parseMachineStat(text)).toEqual({ busyMicros: 250_000, totalMicros: 1_090_000 });
});

it('adds up a process with all its descendants', () => {
  const processes = [
    stat(1, 'init', 0, [1, 0, 0, 0]),
    stat(5, 'p', 1, [2, 0, 0, 0]),
    stat(9, 'q', 5, [4, 0, 0, 0]),
  ].map(parseStat);
  expect(familyOf(5, processes).map(({ pid }) => pid)).toEqual([5, 9]);
  expect(familyOf(7, processes)).toEqual([]);
});

it('sees this very process at work', () => {
  const before = process.cpuUsage();
  const first = processTimes(process.pid)!;
  const used = () => {
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  while (used() < 100_000);
  const seen = processTimes(process.pid)!.cpuMicros - first.cpuMicros;
  // Ticks of 10 ms, rounded down for each of user and system time, at both looks.
  expect(Math.abs(seen - used())).toBeLessThanOrEqual(40_000);
  expect(machineTimes().totalMicros).toBeGreaterThan(machineTimes().busyMicros);
  expect(processTimes(2 ** 30)).toBeNull();
});
