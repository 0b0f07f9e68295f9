import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Environment, type EnvironmentOptions, openEnvironment } from '../../../engine/lmdb-environment.ts';

const bytes = (text: string) => Buffer.from(text);

describe('openEnvironment', () => {
  let dir: string;
  const opened: Environment[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sluice-env-'));
  });
  afterEach(async () => {
    for (const environment of opened.splice(0)) await environment.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const openHere = (more: Partial<EnvironmentOptions> = {}) => {
    const environment = openEnvironment({ dir: join(dir, 'store.v1'), ...more });
    opened.push(environment);
    return environment;
  };

  it('keeps entries and positions together over a reopening', async () => {
    const first = openHere();
    expect(first.positions()).toEqual({});
    first.write({ input: '12', changelog: '3' }, (put) => put(bytes('a'), bytes('one')));
    first.write({ input: '13' }, (put, remove) => {
      put(bytes('b'), bytes('two'));
      remove(bytes('a'));
    });
    await first.close();
    const second = openHere();
    expect(second.positions()).toEqual({ input: '13' });
    expect(second.db.get(bytes('a'))).toBeUndefined();
    expect(second.db.get(bytes('b'))?.toString()).toBe('two');
  });

  it('writes nothing when the change throws', () => {
    const environment = openHere();
    environment.write({ input: '1' }, (put) => put(bytes('a'), bytes('one')));
    expect(() =>
      environment.write({ input: '2' }, (put) => {
        put(bytes('a'), bytes('two'));
        throw new Error('half way');
      }),
    ).toThrow('half way');
    expect(environment.db.get(bytes('a'))?.toString()).toBe('one');
    expect(environment.positions()).toEqual({ input: '1' });
  });

  it('refuses the writes of a zombie whose folder was opened by another', () => {
    const zombie = openHere();
    zombie.write({ input: '1' }, (put) => put(bytes('a'), bytes('one')));
    const owner = openHere();
    const fenced = expect.objectContaining({ code: 'FENCED', action: 'reconnect' });
    expect(() => zombie.write({ input: '9' }, (put) => put(bytes('a'), bytes('zombie')))).toThrow(fenced);
    expect(() => zombie.wipe()).toThrow(fenced);
    expect(owner.db.get(bytes('a'))?.toString()).toBe('one');
    expect(owner.positions()).toEqual({ input: '1' });
    owner.write({ input: '2' }, () => {});
    expect(owner.positions()).toEqual({ input: '2' });
  });

  it('empties a store that was written under another boot, and no other', async () => {
    const bootIdFile = join(dir, 'boot');
    writeFileSync(bootIdFile, 'boot-1\n');
    const first = openHere({ bootIdFile });
    first.write({ input: '1' }, (put) => put(bytes('a'), bytes('one')));
    await first.close();
    const same = openHere({ bootIdFile });
    expect(same.positions()).toEqual({ input: '1' });
    await same.close();
    writeFileSync(bootIdFile, 'boot-2\n');
    const later = openHere({ bootIdFile });
    expect(later.positions()).toEqual({});
    expect(later.db.get(bytes('a'))).toBeUndefined();
  });

  it('keeps the store where the machine does not tell its boot', async () => {
    const bootIdFile = join(dir, 'none');
    const first = openHere({ bootIdFile });
    first.write({ input: '1' }, () => {});
    await first.close();
    expect(openHere({ bootIdFile }).positions()).toEqual({ input: '1' });
  });

  it('empties a store of another format', async () => {
    const first = openHere({ format: '1' });
    first.write({ input: '1' }, (put) => put(bytes('a'), bytes('one')));
    await first.close();
    const second = openHere({ format: '2' });
    expect(second.positions()).toEqual({});
    expect(second.db.get(bytes('a'))).toBeUndefined();
  });

  it('wipes entries and positions', () => {
    const environment = openHere();
    environment.write({ input: '1' }, (put) => put(bytes('a'), bytes('one')));
    environment.wipe();
    expect(environment.positions()).toEqual({});
    expect([...environment.db.getRange()]).toEqual([]);
  });

  it('says which folder cannot be opened', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => openEnvironment({ dir: join(dir, 'file') })).toThrow(
      expect.objectContaining({ code: 'STORE_UNUSABLE', action: 'fatal' }),
    );
  });
});
