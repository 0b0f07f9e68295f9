import { describe, expect, it } from 'vitest';
import type { SnapshotNotice } from '../../../connectors/debezium/notifications.ts';
import { BEATS_WITHOUT_NOTICE, PieceWatch } from '../../../pipelines/operations/backfill/piece-watch.ts';

const PREFIX = 'backfill-run-3-';
const MINE = `${PREFIX}1`;
const beats = (count: number, position: bigint) => Array.from({ length: count }, () => ({ position, timeMs: 0 }));
const notices = (...given: readonly SnapshotNotice[]) => ({ notices: given, beats: [] });
const scanned = (signalId: string, status = 'SUCCEEDED'): SnapshotNotice => ({
  signalId,
  kind: 'scanned',
  rows: 7,
  status,
});
const completed = (signalId: string): SnapshotNotice => ({ signalId, kind: 'completed' });

describe('a piece', () => {
  it('has arrived when its rows were scanned and the snapshot is over, whichever attempt brought it', () => {
    const watch = new PieceWatch(PREFIX, 100n);
    expect(watch.take(notices({ signalId: MINE, kind: 'started' }, scanned(`${PREFIX}2`)))).toMatchObject({
      kind: 'waiting',
    });
    expect(watch.take(notices(completed(`${PREFIX}2`)))).toEqual({ kind: 'arrived', rows: 7 });
  });

  it('has not arrived with the end of another, or with an end without its rows', () => {
    const watch = new PieceWatch(PREFIX, 100n);
    const others = notices(scanned('backfill-run-33-1'), completed('backfill-run-33-1'), completed(MINE));
    expect(watch.take(others)).toMatchObject({ kind: 'waiting' });
  });

  it('is lost when Debezium could not read it', () => {
    expect(new PieceWatch(PREFIX, 100n).take(notices(scanned(MINE, 'SQL_EXCEPTION')))).toEqual({
      kind: 'lost',
      why: 'Debezium reports SQL_EXCEPTION',
    });
  });

  it('is lost when the source clock goes on and on behind the signal, and only then', () => {
    const watch = new PieceWatch(PREFIX, 100n);
    // Capture is behind: it has not come to the signal.
    expect(watch.take({ notices: [], beats: beats(500, 100n) })).toMatchObject({ kind: 'waiting' });
    expect(watch.take({ notices: [], beats: beats(BEATS_WITHOUT_NOTICE - 1, 101n) })).toMatchObject({
      kind: 'waiting',
    });
    // A word about it: it is being read.
    expect(watch.take(notices({ signalId: MINE, kind: 'progress', rows: 9, chunk: 1, chunks: 5 }))).toEqual({
      kind: 'waiting',
      note: 'chunk 1 of 5',
    });
    expect(watch.take({ notices: [], beats: beats(BEATS_WITHOUT_NOTICE - 1, 101n) })).toMatchObject({
      kind: 'waiting',
    });
    expect(watch.take({ notices: [], beats: beats(1, 101n) })).toMatchObject({ kind: 'lost' });
  });
});
