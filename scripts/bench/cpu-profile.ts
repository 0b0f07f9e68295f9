/** Where a worker spends its CPU: a V8 profile (`node --cpu-prof`) summed by function and by file. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { REPOSITORY } from '../../infra/native/layout.ts';

/** https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds in front of each sample. */
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly what: string;
  readonly micros: number;
  /** Of the time that was not idle. */
  readonly percent: number;
}

export interface ProfileSummary {
  readonly busyMicros: number;
  readonly functions: readonly SelfTime[];
  readonly files: readonly SelfTime[];
}

/** The only profile in a folder. */
export function readProfile(folder: string): CpuProfile {
  const [file] = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error(`No profile in ${folder}: the worker was ended before it could write one`);
  return JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile;
}

/** Sums self time, largest first. What came in the first `skipMicros` is left out: starting up is not what is asked about. */
export function summarise(profile: CpuProfile, skipMicros = 0): ProfileSummary {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const files = new Map<string, number>();
  let elapsed = 0;
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const micros = profile.timeDeltas[index] ?? 0;
    elapsed += micros;
    const frame = frames.get(id);
    if (elapsed < skipMicros || frame === undefined || frame.functionName === '(idle)') continue;
    busy += micros;
    const file = fileOf(frame.url);
    const name = frame.functionName === '' ? '(anonymous)' : frame.functionName;
    add(functions, file === '' ? name : `${name} ${file}:${frame.lineNumber + 1}`, micros);
    add(files, file === '' ? name : file, micros);
  }
  return { busyMicros: busy, functions: largest(functions, busy), files: largest(files, busy) };
}

function add(into: Map<string, number>, key: string, micros: number): void {
  into.set(key, (into.get(key) ?? 0) + micros);
}

function largest(sums: ReadonlyMap<string, number>, busy: number): readonly SelfTime[] {
  return [...sums]
    .map(([what, micros]) => ({ what, micros, percent: busy === 0 ? 0 : (100 * micros) / busy }))
    .sort((a, b) => b.micros - a.micros);
}

function fileOf(url: string): string {
  return url.startsWith('file:') ? relative(REPOSITORY, fileURLToPath(url)) : url;
}

/** The first lines of a summary, with the microseconds per record. */
export function renderProfile(summary: ProfileSummary, records: number, lines = 25): string {
  const row = ({ what, micros, percent }: SelfTime) =>
    `${percent.toFixed(1).padStart(6)} %  ${(micros / records).toFixed(2).padStart(7)} µs  ${what}`;
  return [
    `${(summary.busyMicros / records).toFixed(1)} µs per record on the main thread, by function (self time):`,
    ...summary.functions.slice(0, lines).map(row),
    'by file:',
    ...summary.files.slice(0, 12).map(row),
  ].join('\n');
}
