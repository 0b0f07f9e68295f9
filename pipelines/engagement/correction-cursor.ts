/**
 * How far the corrections and the marks have come: committed with the input offset, so that a crash loses no piece and
 * repeats none, and no mark goes back behind one that is out.
 */
export interface WalkCursor {
  /** All content changes before this offset of the content topic are done … */
  readonly offset: bigint;
  /** … and of the one at it, all rows up to this key. */
  readonly after: Buffer | null;
}

export interface Progress {
  readonly cursor: WalkCursor;
  /** Position of the newest mark; 0 when there was none. */
  readonly mark: bigint;
}

export function formatProgress({ cursor: { offset, after }, mark }: Progress): string {
  return JSON.stringify({ content: String(offset), after: after?.toString('base64') ?? null, mark: String(mark) });
}

/** null for an offset that was committed without it: by a tool that reset it, or never. */
export function parseProgress(metadata: string): Progress | null {
  if (metadata === '') return null;
  const { content, after, mark } = JSON.parse(metadata) as { content: string; after: string | null; mark?: string };
  const cursor = { offset: BigInt(content), after: after === null ? null : Buffer.from(after, 'base64') };
  return { cursor, mark: BigInt(mark ?? 0) };
}
