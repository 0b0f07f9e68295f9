/**
 * Writes dead-lettered records back to the partitions they came from, in chunks.
 *
 * Invariants:
 *  - A letter is redriven once: its record and its resolution are one transaction, by a writer whose predecessor is fenced before the
 *    letters are read. A run that was killed has done a chunk or has not, and a second run finds nothing open.
 *  - Nothing undoes a later change of its row: what has one already is resolved as superseded; a change that comes between this look and
 *    the record's own place is found by the stage (operator-record.ts), and told by this command, which looks once more when its records
 *    are in.
 *  - A letter of a sink goes to that sink alone: its input has one writer and other readers.
 */
import { pause } from '../../../engine/backoff.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogClient, LogHeader, OutputBatch, TransactionalWriter } from '../../../engine/log.ts';
import { operatorHeaders } from '../operator-record.ts';
import type { DlqCatalogue } from './catalogue.ts';
import { ANY_LETTER } from './filter.ts';
import { type Letter, recordTimeMs, resolutionHeaders } from './letter.ts';
import type { DlqPipeline, SinkRedrive } from './pipeline.ts';
import { type CapturedCandidate, partitionName, type Selection } from './selection.ts';

export interface RedriveOptions {
  readonly client: LogClient;
  readonly pipeline: DlqPipeline;
  readonly catalogue: DlqCatalogue;
  readonly selection: Selection;
  /** The sink of this name; closed by the caller. */
  readonly sink: (stage: string) => SinkRedrive;
  /** Fenced before the catalogue was opened. */
  readonly writer: TransactionalWriter;
  readonly runId: string;
  /** Records a second. */
  readonly rate: number;
  /** Records in one transaction. */
  readonly maxChunk?: number;
  readonly signal: AbortSignal;
  readonly progress: (done: number) => void;
}

export interface RedriveCounts {
  redriven: number;
  superseded: number;
  /** By a sink, again: these letters stay open. */
  refused: number;
}

const MAX_CHUNK = 500;
const MAX_CHUNK_BYTES = 8 << 20;

/** The name of who writes resolutions: one for each pipeline, so that of two commands at once the later one fences the other. */
export function operatorWriter(client: LogClient, pipeline: DlqPipeline): TransactionalWriter {
  return client.writer(`${pipeline.name}.dlq-operator`);
}

export async function redrive(options: RedriveOptions): Promise<RedriveCounts> {
  const { catalogue, selection, rate, signal } = options;
  const counts: RedriveCounts = { redriven: 0, superseded: 0, refused: 0 };
  const chunk = new Chunk(Math.max(1, Math.min(options.maxChunk ?? MAX_CHUNK, rate)));
  const startedMs = performance.now();
  const flush = async () => {
    await commitChunk(chunk.take(), options, counts);
    options.progress(counts.redriven + counts.superseded + counts.refused);
    const ahead = (counts.redriven / rate) * 1_000 - (performance.now() - startedMs);
    if (ahead > 0) await pause(ahead, signal);
  };
  await catalogue.each({ ...ANY_LETTER, state: 'open' }, async ({ letter }) => {
    if (!selection.candidates.has(letter.id)) return;
    chunk.add(letter);
    if (chunk.full) await flush();
  });
  if (chunk.size > 0) await flush();
  return counts;
}

/** Letters with bytes of their own. */
class Chunk {
  readonly #max: number;
  #letters: Letter[] = [];
  #bytes = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#letters.length;
  }

  get full(): boolean {
    return this.#letters.length >= this.#max || this.#bytes >= MAX_CHUNK_BYTES;
  }

  add(letter: Letter): void {
    const copy = (bytes: Buffer | null) => bytes && Buffer.from(bytes);
    this.#letters.push({ ...letter, key: copy(letter.key), value: copy(letter.value) });
    this.#bytes += (letter.key?.length ?? 0) + (letter.value?.length ?? 0);
  }

  take(): readonly Letter[] {
    const letters = this.#letters;
    this.#letters = [];
    this.#bytes = 0;
    return letters;
  }
}

async function commitChunk(letters: readonly Letter[], options: RedriveOptions, counts: RedriveCounts): Promise<void> {
  const { pipeline, selection, writer, runId, signal } = options;
  signal.throwIfAborted();
  const batches = new Map<string, OutputBatch>();
  const scanned = new Map<string, bigint>();
  const done: RedriveCounts = { redriven: 0, superseded: 0, refused: 0 };
  const resolutions = writer.batch(pipeline.topic, 0);
  const written: Written[] = [];
  const resolve = (letter: Letter, resolution: 'redriven' | 'superseded') => {
    done[resolution]++;
    resolutions.append(null, null, Date.now(), resolutionHeaders(letter.id, resolution, runId));
  };
  for (const letter of letters) {
    const candidate = selection.candidates.get(letter.id)!;
    if (candidate.kind === 'sink') {
      // Before its resolution: a command that is killed in between writes it again, which is harmless.
      if (await takenBy(options.sink(candidate.stage), letter)) resolve(letter, 'redriven');
      else done.refused++;
      continue;
    }
    const name = partitionName(candidate);
    const changes = selection.changes.get(name)!;
    const scannedTo = scanned.get(name) ?? (await changes.advance());
    scanned.set(name, scannedTo);
    if (changes.changedBehind(candidate.row, candidate.position)) {
      resolve(letter, 'superseded');
      continue;
    }
    const batch = batches.get(name) ?? writer.batch(candidate.topic, candidate.partition);
    batches.set(name, batch);
    batch.append(letter.key, letter.value, recordTimeMs(letter), redriveHeaders(letter, { runId, scannedTo }));
    written.push({ letter, candidate });
    resolve(letter, 'redriven');
  }
  if (resolutions.count > 0) {
    const ends = await committed(writer, [...batches.values(), resolutions]);
    const overtaken = await overtakenOf(written, ends, options);
    done.redriven -= overtaken;
    done.superseded += overtaken;
  }
  counts.redriven += done.redriven;
  counts.superseded += done.superseded;
  counts.refused += done.refused;
}

interface Written {
  readonly letter: Letter;
  readonly candidate: CapturedCandidate;
}

/** Marks letters as superseded whose rows changed between the look and the record's own place. Returns how many. */
async function overtakenOf(
  written: readonly Written[],
  ends: ReadonlyMap<string, bigint>,
  { pipeline, selection, writer, runId }: RedriveOptions,
): Promise<number> {
  for (const { candidate } of new Map(written.map((one) => [partitionName(one.candidate), one])).values()) {
    const { topic, partition } = candidate;
    await selection.changes.get(partitionName(candidate))!.advanceTo(ends.get(`${topic}-${partition}`) ?? 0n);
  }
  const overtaken = written.filter(({ candidate }) =>
    selection.changes.get(partitionName(candidate))!.isOvertaken(candidate.row, runId),
  );
  if (overtaken.length === 0) return 0;
  const batch = writer.batch(pipeline.topic, 0);
  for (const { letter } of overtaken) {
    batch.append(null, null, Date.now(), resolutionHeaders(letter.id, 'superseded', runId));
  }
  await committed(writer, [batch]);
  return overtaken.length;
}

async function takenBy(sink: SinkRedrive, letter: Letter): Promise<boolean> {
  try {
    await sink.write(letter);
    return true;
  } catch (error) {
    if (error instanceof SluiceError && error.action === 'dead-letter') return false;
    throw error;
  }
}

/** What a stage needs to order the record, and to count the attempt if it fails again. */
function redriveHeaders(letter: Letter, at: { readonly runId: string; readonly scannedTo: bigint }): LogHeader[] {
  const text = { 'sluice.attempts': String(letter.attempts), 'sluice.first-at': letter.firstAt };
  const own = Object.entries(text).map(([key, value]) => ({ key, value: Buffer.from(value) }));
  return [...operatorHeaders({ origin: 'redrive', ...at, force: false }), ...own];
}

/** How many of a selection are superseded already; reads the captured partitions to their ends. */
export async function supersededOf({ candidates, changes }: Selection): Promise<number> {
  for (const one of changes.values()) await one.advance();
  const isSuperseded = (one: CapturedCandidate) =>
    changes.get(partitionName(one))!.changedBehind(one.row, one.position);
  return [...candidates.values()].filter((one) => one.kind === 'captured' && isSuperseded(one)).length;
}

export interface DiscardOptions {
  readonly pipeline: DlqPipeline;
  readonly catalogue: DlqCatalogue;
  /** Which of the open letters. */
  readonly ids: ReadonlySet<bigint>;
  readonly writer: TransactionalWriter;
  readonly runId: string;
  readonly signal: AbortSignal;
  readonly progress: (done: number) => void;
}

/** Marks letters as discarded; their bytes stay for the topic's retention. Letters that were resolved meanwhile are left alone. */
export async function discard(options: DiscardOptions): Promise<number> {
  const { pipeline, catalogue, writer, runId, signal } = options;
  let done = 0;
  const ids = [...options.ids].filter((id) => catalogue.states.of({ id }) === 'open');
  for (let from = 0; from < ids.length; from += MAX_CHUNK) {
    signal.throwIfAborted();
    const batch = writer.batch(pipeline.topic, 0);
    const chunk = ids.slice(from, from + MAX_CHUNK);
    for (const id of chunk) batch.append(null, null, Date.now(), resolutionHeaders(id, 'discarded', runId));
    await committed(writer, [batch]);
    done += chunk.length;
    options.progress(done);
  }
  return done;
}

const FENCED = ['KAFKA_INVALID_PRODUCER_EPOCH', 'KAFKA_PRODUCER_FENCED', 'KAFKA_INVALID_PRODUCER_ID_MAPPING'];

async function committed(
  writer: TransactionalWriter,
  batches: readonly OutputBatch[],
): Promise<ReadonlyMap<string, bigint>> {
  try {
    return await writer.commit(batches, null);
  } catch (error) {
    if (!(error instanceof SluiceError && FENCED.includes(error.code))) throw error;
    throw new SluiceError('Another dlq command has taken over. What this one did is done; look, then run it again', {
      code: 'DLQ_TAKEN_OVER',
      action: 'fatal',
      cause: error,
    });
  }
}
