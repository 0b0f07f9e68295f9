import { expect, describe as group, it } from 'vitest';
import { ENGAGEMENT_REASONS } from '../../../../pipelines/engagement/dlq.ts';
import { describe, describedLines } from '../../../../pipelines/operations/dlq/describe.ts';
import { ANY_LETTER, type LetterFilter, matches } from '../../../../pipelines/operations/dlq/filter.ts';
import type { Letter } from '../../../../pipelines/operations/dlq/letter.ts';
import { outlineOf } from '../../../../pipelines/operations/dlq/outline.ts';
import { schemasById } from '../../codec/debezium.ts';
import { CAPTURE_SCHEMAS, eventEnvelope } from '../../engagement/capture.ts';

const schemas = schemasById(CAPTURE_SCHEMAS);

function envelope(device: string | null = null): Buffer {
  const eventTs = '2026-01-02T03:04:05.000000Z';
  const row = {
    id: 4711n,
    content: 0,
    user: 1,
    eventType: 'play',
    eventTs,
    eventMicros: 0,
    durationMs: -5,
    device,
    campaign: null,
    payload: 0,
  };
  return eventEnvelope(null, row, 'c', { lsn: 1n, xid: 1n, commitTsMs: 0 });
}

function letter(changes: Partial<Letter> = {}): Letter {
  return {
    ...{ id: 17n, writtenMs: Date.UTC(2026, 0, 2), reason: 'NEGATIVE_DURATION', message: 'duration_ms is -5' },
    ...{ stage: 'engagement.enrich', topic: 'cdc', partition: 2, offset: 99n, attempts: 1 },
    ...{ firstAt: '', lastAt: '', truncatedFrom: null, scannedTo: null, key: Buffer.from('4711'), value: envelope() },
    ...changes,
  };
}

const shown = async (one: Letter) => {
  return describedLines(await describe({ letter: one, state: 'open' }, { schemas, reasons: ENGAGEMENT_REASONS }));
};

group('a letter shown', () => {
  it('names the field at fault, what it holds and what was expected', async () => {
    const lines = await shown(letter());
    expect(lines).toContain('  at fault: after.duration_ms is -5; expected 0 or more, or NULL');
    expect(lines).toContain('  from cdc:2:99, stage engagement.enrich, attempts 1, first not known, last not known');
    expect(lines).toContain('  what to do: docs/runbooks/dlq.md#negative_duration');
    expect(lines).toContain('  after.id = 4711');
  });

  it('is decoded as far as its bytes go', async () => {
    const whole = envelope();
    const cut = whole.subarray(0, whole.indexOf('play') + 2);
    const { fields, stopped } = await outlineOf(cut, schemas);
    expect(fields.map(({ path }) => path)).toEqual(['before', 'after.id', 'after.content_id', 'after.user_id']);
    expect(stopped).toMatchObject({ path: 'after.event_type', why: expect.stringContaining('beyond the end') });
    const lines = await shown(letter({ value: cut, reason: 'UNDECODABLE' }));
    expect(lines.at(-2)).toMatch(/decoding stopped at byte \d+ in after\.event_type: /);
    expect(lines.at(-1)).toBe(`  0x${cut.toString('hex')}`);
  });

  it.each([
    ['bytes without a frame', Buffer.from('garbage'), /no magic byte/],
    ['a schema nobody knows', Buffer.from([0, 0, 0, 0, 99, 1]), /schema 99 is not in the registry/],
    ['nothing behind the frame', Buffer.from([0, 0, 0, 0, 11]), /ends too early/],
    ['bytes behind its end', Buffer.concat([envelope(), Buffer.from('x')]), /1 bytes follow/],
  ])('says why it is not decoded: %s', async (_, value, why) => {
    expect((await outlineOf(value, schemas)).stopped?.why).toMatch(why);
  });

  it('shortens 5 MB', async () => {
    const lines = await shown(letter({ value: envelope('x'.repeat(5 << 20)) }));
    expect(lines.join('\n').length).toBeLessThan(5_000);
    expect(lines).toContainEqual(expect.stringMatching(/after\.device = x{200}… \(5242880 bytes\)/));
  });

  it('never ends in a loop or an overflow over bytes that ask for it', async () => {
    const recursive = { type: 'record', name: 'R', fields: [{ name: 'next', type: ['null', 'R'] }] };
    const endless = { type: 'record', name: 'E', fields: [{ name: 'all', type: { type: 'array', items: 'null' } }] };
    const bad = schemasById({ 1: recursive, 2: endless });
    expect(
      (await outlineOf(Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), Buffer.alloc(10_000, 2)]), bad)).stopped?.why,
    ).toMatch(/deep/);
    expect((await outlineOf(Buffer.from([0, 0, 0, 0, 2, 0xfe, 0xff, 0xff, 0xff, 0x7f]), bad)).stopped?.why).toMatch(
      /items/,
    );
  });
});

group('the filter of letters', () => {
  const one = letter();
  it.each<[string, Partial<LetterFilter>, boolean]>([
    ['its id', { ids: ['17'] }, true],
    ['its source', { ids: ['cdc:2:99'] }, true],
    ['another id', { ids: ['18'] }, false],
    ['its reason', { reasons: ['FUTURE_EVENT', 'NEGATIVE_DURATION'] }, true],
    ['another reason', { reasons: ['FUTURE_EVENT'] }, false],
    ['its stage', { stage: 'engagement.enrich' }, true],
    ['another stage', { stage: 'engagement.leaderboard' }, false],
    ['its key', { key: '4711' }, true],
    ['its key in hex', { key: '34373131' }, true],
    ['another key', { key: '471' }, false],
    ['its time', { sinceMs: one.writtenMs, untilMs: one.writtenMs + 1 }, true],
    ['a time before', { untilMs: one.writtenMs }, false],
    ['a time after', { sinceMs: one.writtenMs + 1 }, false],
    ['its state', { state: 'open' }, true],
    ['another state', { state: 'discarded' }, false],
  ])('by %s', async (_, filter, expected) => {
    expect(await matches(one, 'open', { filter: { ...ANY_LETTER, ...filter }, schemas })).toBe(expected);
  });

  it('finds a value inside a key', async () => {
    const framed = letter({ key: envelope() });
    expect(await matches(framed, 'open', { filter: { ...ANY_LETTER, key: 'user-1' }, schemas })).toBe(true);
  });
});
