/**
 * Keys in the order of the number they end with. Avro writes a number's low bits first: in the order of its bytes, keys with neighbouring
 * numbers are strewn over everything that begins alike. https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */

/** The key with its last field, a number that begins at `at`, as the number of its bytes and these, the high ones first. Keys of numbers that are not negative then sort as these. */
export function highBytesFirst(key: Buffer, at: number): Buffer {
  const size = key.length - at;
  const ordered = Buffer.allocUnsafe(key.length + 1);
  for (let index = 0; index < at; index++) ordered[index] = key[index]!;
  ordered[at] = size;
  for (let index = 1; index <= size; index++) ordered[at + index] = key[key.length - index]!;
  return ordered;
}

/** What `highBytesFirst` was given. */
export function lowBytesFirst(ordered: Buffer, at: number): Buffer {
  const key = Buffer.allocUnsafe(ordered.length - 1);
  for (let index = 0; index < at; index++) key[index] = ordered[index]!;
  for (let index = at; index < key.length; index++) key[index] = ordered[ordered.length - 1 - (index - at)]!;
  return key;
}
