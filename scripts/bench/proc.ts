/** CPU and memory of processes and of the machine, from /proc. https://man7.org/linux/man-pages/man5/proc.5.html */
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { SluiceError } from '../../engine/errors.ts';

/** USER_HZ is 100 on every Linux of the platforms we run on. */
const MICROS_PER_TICK = 10_000;

export interface ProcessTimes {
  readonly pid: number;
  readonly parent: number;
  /** User and system time, with that of ended children that were waited for. */
  readonly cpuMicros: number;
}

export interface MachineTimes {
  readonly busyMicros: number;
  readonly totalMicros: number;
}

export interface Machine {
  readonly cores: number;
  readonly memoryGiB: number;
  readonly cpu: string;
}

/** What the figures were measured on. */
export function machine(): Machine {
  return {
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
  };
}

/** Throws BENCH_NEEDS_PROC where there is no /proc to measure with. */
export function checkProc(): void {
  try {
    readFileSync('/proc/self/stat');
  } catch (error) {
    throw new SluiceError('The benchmark measures CPU and memory in /proc, which only Linux has', {
      code: 'BENCH_NEEDS_PROC',
      action: 'fatal',
      cause: error,
    });
  }
}

/** Parses /proc/PID/stat. The name in parentheses may hold anything, so fields are counted behind the last one. */
export function parseStat(text: string): ProcessTimes {
  const pid = Number.parseInt(text, 10);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
  return { pid, parent: Number(fields[1]), cpuMicros: ticks * MICROS_PER_TICK };
}

/** Parses the first line of /proc/stat. Waiting for disk is idle. */
export function parseMachineStat(text: string): MachineTimes {
  const line = text.slice(0, text.indexOf('\n'));
  // user nice system idle iowait irq softirq steal; guest time is part of user time.
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const busy = user + nice + system + irq + soft + steal;
  return { busyMicros: busy * MICROS_PER_TICK, totalMicros: (busy + idle + wait) * MICROS_PER_TICK };
}

export function machineTimes(): MachineTimes {
  return parseMachineStat(readFileSync('/proc/stat', 'utf8'));
}

/** The times of one process; null when it is gone. */
export function processTimes(pid: number): ProcessTimes | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return null;
  }
}

/** Every process of the machine. */
export function allProcesses(): readonly ProcessTimes[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => processTimes(Number(name)))
    .filter((times) => times !== null);
}

/** The process and all its descendants. */
export function familyOf(pid: number, processes: readonly ProcessTimes[]): readonly ProcessTimes[] {
  const own = processes.filter((process) => process.pid === pid);
  const children = processes.filter((process) => process.parent === pid);
  return [...own, ...children.flatMap((child) => familyOf(child.pid, processes))];
}

/** A field of a `Name:  123 kB` file of /proc, in MiB; 0 when the process is gone. */
function mebibytes(path: string, field: string): number {
  try {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(path, 'utf8'));
    return Number(match?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

export interface Memory {
  /** The process's own, with its share of what it shares: the only figure that may be summed over processes. */
  readonly totalMiB: number;
  /** Without pages of mapped files (programs, LMDB stores), which the system takes back when it needs memory. */
  readonly heldMiB: number;
}

export function memoryOf(pid: number): Memory {
  const path = `/proc/${pid}/smaps_rollup`;
  return {
    totalMiB: mebibytes(path, 'Pss'),
    heldMiB: mebibytes(path, 'Pss_Anon') + mebibytes(path, 'Pss_Shmem'),
  };
}

export function residentMiB(pid: number): number {
  return mebibytes(`/proc/${pid}/status`, 'VmRSS');
}

/** The most that was ever resident. */
export function peakResidentMiB(pid: number): number {
  return mebibytes(`/proc/${pid}/status`, 'VmHWM');
}
