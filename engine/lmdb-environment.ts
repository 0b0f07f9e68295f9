/**
 * One LMDB folder that holds a task's store: its data and the positions they stand for, always written together.
 *
 *  - *Owner.* Opening writes a fresh token; every write compares it inside its transaction. A paused process that wakes
 *    up after another opened the same folder is refused (FENCED) instead of mixing its entries into the new owner's.
 *  - *Doubt.* Writes are not synced to disk: the operating system keeps them when the process dies, and loses an
 *    arbitrary part of them when the machine does. A folder last written under another boot is therefore emptied at
 *    opening; the store is restored from Kafka. Where the machine does not tell its boot, writes are synced instead.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { SluiceError } from './errors.ts';

export interface EnvironmentOptions {
  /** Folder of this store alone; made when missing. */
  readonly dir: string;
  /** First size of the memory map in bytes; it grows by itself. */
  readonly mapSize?: number;
  /** Raised when the layout of the entries changes: a folder of another format is emptied at opening. */
  readonly format?: string;
  /** Where the boot id of the machine is read. Only tests give another one. */
  readonly bootIdFile?: string;
}

export type Put = (key: Uint8Array, value: Uint8Array) => void;
export type Remove = (key: Uint8Array) => void;

export interface Environment {
  /** The entries, for reading. Keys and values are bytes, in byte order of the key. */
  readonly db: Database<Buffer, Buffer>;
  /** How many entries there are. */
  size(): number;
  /** The positions of the last `write`; empty for a new or wiped store. */
  positions(): Readonly<Record<string, string>>;
  /**
   * One transaction: what `change` puts and removes, and the positions it stands for (they replace all older ones).
   * Nothing is written when `change` throws. Throws FENCED (reconnect) when another process has opened the folder since.
   */
  write(positions: Readonly<Record<string, string>>, change: (put: Put, remove: Remove) => void): void;
  /** Removes all entries and positions. Throws FENCED like `write`. */
  wipe(): void;
  close(): Promise<void>;
}

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';
const POSITION = 'position:';

/** Opens the folder and takes it over from whoever had it open. Throws STORE_UNUSABLE (fatal) when it can't be opened. */
export function openEnvironment(options: EnvironmentOptions): Environment {
  const boot = readText(options.bootIdFile ?? BOOT_ID_FILE);
  const root = openFolder(options, boot);
  try {
    const meta = root.openDB<string, string>('meta', { encoding: 'string' });
    const db = root.openDB<Buffer, Buffer>('data', { encoding: 'binary', keyEncoding: 'binary' });
    const owner = randomUUID();
    const format = options.format ?? '1';
    root.transactionSync(() => {
      if (meta.get('format') !== format) {
        db.clearSync();
        meta.clearSync();
        meta.putSync('format', format);
      }
      meta.putSync('owner', owner);
    });
    return new LmdbEnvironment(root, meta, db, { dir: options.dir, owner, format });
  } catch (cause) {
    void root.close();
    throw unusable(options.dir, cause);
  }
}

interface Identity {
  readonly dir: string;
  readonly owner: string;
  readonly format: string;
}

class LmdbEnvironment implements Environment {
  readonly db: Database<Buffer, Buffer>;
  readonly #root: RootDatabase;
  readonly #meta: Database<string, string>;
  readonly #identity: Identity;
  #closed: Promise<void> | undefined;

  constructor(root: RootDatabase, meta: Database<string, string>, db: Database<Buffer, Buffer>, identity: Identity) {
    this.#root = root;
    this.#meta = meta;
    this.db = db;
    this.#identity = identity;
  }

  size(): number {
    return (this.db.getStats() as { readonly entryCount: number }).entryCount;
  }

  positions(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const { key, value } of this.#meta.getRange({ start: POSITION, end: `${POSITION}\uffff` })) {
      found[key.slice(POSITION.length)] = value;
    }
    return found;
  }

  write(positions: Readonly<Record<string, string>>, change: (put: Put, remove: Remove) => void): void {
    this.#root.transactionSync(() => {
      this.#checkOwner();
      change(
        (key, value) => this.db.putSync(key as Buffer, value as Buffer),
        (key) => void this.db.removeSync(key as Buffer),
      );
      this.#clearPositions();
      for (const [name, value] of Object.entries(positions)) this.#meta.putSync(POSITION + name, value);
    });
    this.#seeOwnWrite();
  }

  wipe(): void {
    this.#root.transactionSync(() => {
      this.#checkOwner();
      this.db.clearSync();
      this.#clearPositions();
    });
    this.#seeOwnWrite();
  }

  close(): Promise<void> {
    this.#closed ??= this.#root.close();
    return this.#closed;
  }

  /** lmdb keeps a read snapshot for the rest of the event turn: without this a read right after a write could miss it. */
  #seeOwnWrite(): void {
    this.db.resetReadTxn();
    this.#meta.resetReadTxn();
  }

  #clearPositions(): void {
    for (const name of Object.keys(this.positions())) this.#meta.removeSync(POSITION + name);
  }

  #checkOwner(): void {
    if (this.#meta.get('owner') === this.#identity.owner) return;
    throw new SluiceError(`Another process has opened the store ${this.#identity.dir}; this one must start again`, {
      code: 'FENCED',
      action: 'reconnect',
    });
  }
}

function openFolder(options: EnvironmentOptions, boot: string | undefined): RootDatabase {
  const data = join(options.dir, 'lmdb');
  const mark = join(options.dir, 'boot-id');
  try {
    mkdirSync(options.dir, { recursive: true });
    if (boot !== undefined && readText(mark) !== boot) {
      // The order matters: a crash in between leaves a mark of another boot, and the next opening wipes again.
      rmSync(data, { recursive: true, force: true });
      writeFileSync(mark, boot);
    }
    mkdirSync(data, { recursive: true });
    return open({
      path: data,
      noSubdir: false,
      maxDbs: 2,
      noSync: boot !== undefined,
      overlappingSync: false,
      mapSize: options.mapSize,
      encoding: 'binary',
    });
  } catch (cause) {
    throw unusable(options.dir, cause);
  }
}

function unusable(dir: string, cause: unknown): SluiceError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SluiceError(
    `Cannot open the store ${dir}: ${reason}. Check its permissions and free space, or delete it`,
    {
      code: 'STORE_UNUSABLE',
      action: 'fatal',
      cause,
    },
  );
}

function readText(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}
