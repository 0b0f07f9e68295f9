/** CPU and memory of each process of a run, and of the machine, between `begin` and `end`. */
import {
  allProcesses,
  familyOf,
  type MachineTimes,
  machineTimes,
  memoryOf,
  type ProcessTimes,
  residentMiB,
} from './proc.ts';
import { round } from './rates.ts';

export interface ProcessLoad {
  /** Of one core. */
  readonly cpuPercent: number;
  readonly cpuMicros: number;
  /** Most resident memory seen; of a server with several processes, of all of them, what they share counted once. */
  readonly rssMiB: number;
}

export interface Load {
  readonly seconds: number;
  /** Of all cores of the machine, whoever used them. */
  readonly machineCpuPercent: number;
  /** Of all cores, by the processes of this run. */
  readonly ownCpuPercent: number;
  /** Most memory of all processes of the run at one time, what they share counted once. */
  readonly memoryMiB: number;
  /** Most of it that was not pages of mapped files, which the system takes back when it needs memory. */
  readonly memoryHeldMiB: number;
  readonly processes: Readonly<Record<string, ProcessLoad>>;
}

/** To count the pages of all processes takes a third of a second of a core and more: every 15 s it was 2 % of the load it measures. */
const MEMORY_EVERY_MS = 60_000;

/** Names and process ids, asked again at every look since a process may be started again. */
export type Pids = () => Readonly<Record<string, number | null>>;

export class LoadMeter {
  readonly #pids: Pids;
  readonly #cores: number;
  readonly #memory = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #memoryMiB = 0;
  #memoryHeldMiB = 0;
  #startedMs = 0;
  #cpu: ReadonlyMap<string, number> = new Map();
  #machine: MachineTimes = { busyMicros: 0, totalMicros: 0 };

  constructor(pids: Pids, cores: number) {
    this.#pids = pids;
    this.#cores = cores;
    this.#timer = setInterval(() => this.#lookAtMemory(), MEMORY_EVERY_MS);
    this.#timer.unref();
  }

  begin(): void {
    this.#lookAtMemory();
    this.#startedMs = performance.now();
    this.#cpu = this.#cpuByName(allProcesses());
    this.#machine = machineTimes();
  }

  end(): Load {
    const micros = (performance.now() - this.#startedMs) * 1_000;
    const now = machineTimes();
    const cpu = this.#cpuByName(allProcesses());
    this.#lookAtMemory();
    const used = [...cpu].map(([name, after]) => [name, Math.max(0, after - (this.#cpu.get(name) ?? 0))] as const);
    const total = used.reduce((sum, [, one]) => sum + one, 0);
    return {
      seconds: round(micros / 1e6, 1),
      machineCpuPercent: round(
        (100 * (now.busyMicros - this.#machine.busyMicros)) / (now.totalMicros - this.#machine.totalMicros),
        1,
      ),
      ownCpuPercent: round((100 * total) / (micros * this.#cores), 1),
      memoryMiB: Math.round(this.#memoryMiB),
      memoryHeldMiB: Math.round(this.#memoryHeldMiB),
      processes: Object.fromEntries(
        used.map(([name, one]) => [
          name,
          {
            cpuPercent: round((100 * one) / micros, 1),
            cpuMicros: one,
            rssMiB: Math.round(this.#memory.get(name) ?? 0),
          },
        ]),
      ),
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #cpuByName(processes: readonly ProcessTimes[]): ReadonlyMap<string, number> {
    const cpu = new Map<string, number>();
    for (const [name, pid] of Object.entries(this.#pids())) {
      if (pid === null) continue;
      const family = pid === process.pid ? processes.filter((one) => one.pid === pid) : familyOf(pid, processes);
      cpu.set(
        name,
        family.reduce((sum, one) => sum + one.cpuMicros, 0),
      );
    }
    return cpu;
  }

  #lookAtMemory(): void {
    const processes = allProcesses();
    let total = 0;
    let held = 0;
    for (const [name, pid] of Object.entries(this.#pids())) {
      if (pid === null) continue;
      const family = pid === process.pid ? [{ pid }] : familyOf(pid, processes);
      const memory = family.map((one) => memoryOf(one.pid));
      const own = memory.reduce((sum, { totalMiB }) => sum + totalMiB, 0);
      const shown = family.length === 1 ? residentMiB(pid) : own;
      this.#memory.set(name, Math.max(this.#memory.get(name) ?? 0, shown));
      total += own;
      held += memory.reduce((sum, { heldMiB }) => sum + heldMiB, 0);
    }
    this.#memoryMiB = Math.max(this.#memoryMiB, total);
    this.#memoryHeldMiB = Math.max(this.#memoryHeldMiB, held);
  }
}
