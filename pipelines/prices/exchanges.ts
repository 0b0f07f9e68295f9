/** In which time zone an exchange counts its days. */
const ZONES: Readonly<Record<string, string>> = {
  NYSE: 'America/New_York',
  NASDAQ: 'America/New_York',
  LSE: 'Europe/London',
  XETRA: 'Europe/Berlin',
  TSE: 'Asia/Tokyo',
  NSE: 'Asia/Kolkata',
  HKEX: 'Asia/Hong_Kong',
};

export const EXCHANGES: readonly string[] = Object.keys(ZONES);

/** The IANA zone of an exchange; UTC for one that is not known. */
export function zoneOf(exchange: string): string {
  return Object.hasOwn(ZONES, exchange) ? ZONES[exchange]! : 'UTC';
}
