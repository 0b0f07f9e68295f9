/** Columns of a captured table that the pipeline does not know: carried along as JSON rather than lost. */
import { jsonText } from '../../../engine/avro/json-text.ts';
import type { FieldShape, Span } from '../../../engine/avro/projection.ts';
import type { SchemaNode } from '../../../engine/avro/resolve.ts';

export interface CarriedColumns {
  /** What to read of a row for them: their spans, under names that no other field of a shape has. */
  readonly fields: Readonly<Record<string, FieldShape>>;
  /**
   * They as a JSON object, null when all are NULL. The same values give the same text: sorted by column, and without NULLs, so
   * that a column which is added, or dropped, and NULL throughout changes no row.
   */
  text(row: object, bytes: Buffer): string | null;
}

/** The columns of `row`, a record or null, that are not in `known`; null when there are none. */
export function carriedColumns(row: SchemaNode, known: ReadonlySet<string>): CarriedColumns | null {
  const record = row.type === 'union' ? row.branches.find(({ type }) => type === 'record') : row;
  if (record?.type !== 'record') return null;
  const columns = record.fields
    .filter(({ name }) => !known.has(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, node }, index) => ({ name, node, label: `${JSON.stringify(name)}:`, property: `carried${index}` }));
  if (columns.length === 0) return null;
  return {
    fields: Object.fromEntries(columns.map(({ property, name }) => [property, { from: name, read: 'span' }])),
    text(read, bytes) {
      const spans = read as Readonly<Record<string, Span>>;
      let text = '';
      for (const { node, label, property } of columns) {
        const value = jsonText(node, bytes, spans[property]!);
        if (value !== 'null') text += `${text === '' ? '{' : ','}${label}${value}`;
      }
      return text === '' ? null : `${text}}`;
    },
  };
}
