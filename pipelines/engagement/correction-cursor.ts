/**
 * How far the corrections have come: committed with the input offset, so that a crash loses no piece and repeats none.
 * All content changes before `offset` (of the content topic) are done; of the one at `offset`, all rows up to `after`.
 */
export interface WalkCursor {
  readonly offset: bigint;
  readonly after: Buffer | null;
}

export function formatCursor({ offset, after }: WalkCursor): string {
  return JSON.stringify({ content: String(offset), after: after?.toString('base64') ?? null });
}

/** null for an offset that was committed without a cursor. */
export function parseCursor(metadata: string): WalkCursor | null {
  if (metadata === '') return null;
  const { content, after } = JSON.parse(metadata) as { content: string; after: string | null };
  return { offset: BigInt(content), after: after === null ? null : Buffer.from(after, 'base64') };
}
