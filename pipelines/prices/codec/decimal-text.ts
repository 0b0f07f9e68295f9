/** Millionths as text: `12.34` of 12340000n, without zeros behind. */
export function decimalText(e6: bigint): string {
  const size = e6 < 0n ? -e6 : e6;
  const fraction = String(size % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '');
  return `${e6 < 0n ? '-' : ''}${size / 1_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}
