/** Cells of ClickHouse's TabSeparated format: https://clickhouse.com/docs/interfaces/formats/TabSeparated */

import { type Column, type ColumnType, plainOf, type Value } from './native-block.ts';

const NULL_CELL = '\\N';

const SPECIAL = /[\t\n\r\\\0]/;
const ESCAPES: Readonly<Record<string, string>> = {
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\\': '\\\\',
  '\0': '\\0',
};

/** A String cell. Most texts have nothing to escape and are returned as they are. */
export function textCell(text: string): string {
  return SPECIAL.test(text) ? text.replace(/[\t\n\r\\\0]/g, (character) => ESCAPES[character]!) : text;
}

/** Ten digits, since shorter ones are read as a year. */
function seconds(value: number): string {
  return value >= 1_000_000_000 ? String(value) : String(value).padStart(10, '0');
}

/** An Array(String) cell: its elements are quoted. */
function textArrayCell(texts: readonly string[]): string {
  return `[${texts.map((text) => `'${textCell(text).replaceAll("'", "\\'")}'`).join(',')}]`;
}

/** A DateTime64(6) cell from microseconds since the epoch, which must not be negative. */
export function microsCell(micros: number): string {
  const whole = Math.floor(micros / 1_000_000);
  const rest = micros - whole * 1_000_000;
  return `${seconds(whole)}.${rest < 100_000 ? String(rest).padStart(6, '0') : rest}`;
}

/** A DateTime64(3) cell from milliseconds since the epoch, for a column in UTC. */
export function millisCell(millis: number): string {
  if (millis < 0) return new Date(millis).toISOString().slice(0, -1).replace('T', ' ');
  const whole = Math.floor(millis / 1_000);
  const rest = millis - whole * 1_000;
  return `${seconds(whole)}.${rest < 100 ? String(rest).padStart(3, '0') : rest}`;
}

/** A DateTime cell from milliseconds since the epoch. */
export function secondsCell(millis: number): string {
  return seconds(Math.floor(millis / 1_000));
}

/** The values of a row as cells behind each other. */
export function textCells(columns: readonly Column[], values: readonly Value[]): string {
  return columns.map(({ type }, index) => textOf(type, values[index]!)).join('\t');
}

function textOf(type: ColumnType, value: Value): string {
  if (value === null) return NULL_CELL;
  if (typeof value === 'string') return textCell(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'number') return textArrayCell(value);
  switch (plainOf(type)) {
    case 'DateTime':
      return secondsCell(value * 1_000);
    case 'DateTime64(3)':
      return millisCell(value);
    case 'DateTime64(6)':
      return microsCell(value);
    default:
      return String(value);
  }
}
