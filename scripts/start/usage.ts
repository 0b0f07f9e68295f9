/** CPU and memory of processes with everything below them, from one `ps` for all. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Usage {
  readonly cpuPercent: number | null;
  readonly memoryMiB: number;
}

interface ProcessLine {
  readonly pid: number;
  readonly parent: number;
  readonly rssKiB: number;
  readonly cpuSeconds: number;
}

/** Parses `[[days-]hours:]minutes:seconds`, with or without a fraction. */
export function cpuTime(text: string): number {
  const [days, rest] = text.includes('-') ? text.split('-') : ['0', text];
  const parts = (rest ?? '').split(':').map(Number);
  return Number(days) * 86_400 + parts.reduce((total, part) => total * 60 + part, 0);
}

/** Parses the output of `ps -A -o pid=,ppid=,rss=,time=`. */
export function parsePs(output: string): readonly ProcessLine[] {
  return output
    .trim()
    .split('\n')
    .map((line) => {
      const [pid, parent, rss, time] = line.trim().split(/\s+/);
      return { pid: Number(pid), parent: Number(parent), rssKiB: Number(rss), cpuSeconds: cpuTime(time ?? '') };
    });
}

/** The process and all its descendants. */
function familyOf(pid: number, lines: readonly ProcessLine[]): readonly ProcessLine[] {
  const own = lines.filter((line) => line.pid === pid);
  return [...own, ...lines.filter((line) => line.parent === pid).flatMap((child) => familyOf(child.pid, lines))];
}

/** Measures again and again; CPU is over at least `windowMs`, since `ps` counts whole seconds on Linux. */
export class UsageMeter {
  readonly #windowMs: number;
  readonly #history = new Map<number, { atMs: number; cpuSeconds: number }[]>();

  constructor(windowMs = 10_000) {
    this.#windowMs = windowMs;
  }

  /** Usage per process id; a process that is gone is left out. */
  async measure(pids: readonly number[]): Promise<ReadonlyMap<number, Usage>> {
    const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=,rss=,time='], { timeout: 5_000 });
    return this.add(parsePs(stdout), pids, performance.now());
  }

  add(lines: readonly ProcessLine[], pids: readonly number[], nowMs: number): ReadonlyMap<number, Usage> {
    const usage = new Map<number, Usage>();
    for (const pid of pids) {
      const family = familyOf(pid, lines);
      if (family.length === 0) continue;
      const cpuSeconds = family.reduce((total, line) => total + line.cpuSeconds, 0);
      const memoryMiB = family.reduce((total, line) => total + line.rssKiB, 0) / 1_024;
      usage.set(pid, { cpuPercent: this.#cpuPercent(pid, cpuSeconds, nowMs), memoryMiB });
    }
    for (const pid of this.#history.keys()) if (!usage.has(pid)) this.#history.delete(pid);
    return usage;
  }

  #cpuPercent(pid: number, cpuSeconds: number, nowMs: number): number | null {
    const history = this.#history.get(pid) ?? [];
    this.#history.set(pid, history);
    history.push({ atMs: nowMs, cpuSeconds });
    // The newest measurement that is old enough is what we compare with.
    while (history.length > 2 && nowMs - history[1]!.atMs >= this.#windowMs) history.shift();
    const oldest = history[0]!;
    const elapsedMs = nowMs - oldest.atMs;
    // A child that ended takes its CPU time with it.
    return elapsedMs < 2_000 ? null : Math.max(0, ((cpuSeconds - oldest.cpuSeconds) * 100_000) / elapsedMs);
  }
}
