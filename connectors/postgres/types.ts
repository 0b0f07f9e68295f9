/** How values of Postgres become values of JavaScript: nothing is rounded, nothing depends on the machine's time zone. */
import pg from 'pg';

/** Type numbers of pg_type.dat that never change. */
const INT8: number = 20;
const INT8_ARRAY: number = 1016;

const asText = (text: string): string => text;

function parseInt8Array(text: string): (bigint | null)[] {
  const body = text.slice(1, -1);
  return body === '' ? [] : body.split(',').map((item) => (item === 'NULL' ? null : BigInt(item)));
}

/** Types that pg would turn into a Date (losing microseconds) or a parsed object; they stay as Postgres wrote them. */
const KEPT_AS_TEXT: ReadonlySet<number> = new Set([1082, 1114, 1184, 1700, 114, 3802]);

/**
 * int8 and its arrays → bigint; date, timestamp, timestamptz, numeric, json and jsonb stay text; the rest as pg does it.
 * Set on each connection, not globally: other users of pg in the same process keep their own.
 */
export const sluiceTypes: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: string) {
    if (format === 'binary') return pg.types.getTypeParser(oid, 'binary');
    if (oid === INT8) return BigInt;
    if (oid === INT8_ARRAY) return parseInt8Array;
    if (KEPT_AS_TEXT.has(oid)) return asText;
    return pg.types.getTypeParser(oid, 'text');
  },
};
