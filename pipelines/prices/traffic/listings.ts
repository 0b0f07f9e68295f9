/** The stocks that traffic is about. */
import { Random } from '../../random.ts';

export interface Listing {
  readonly symbol: string;
  readonly name: string;
  readonly exchange: string;
  readonly sector: string | null;
  readonly industry: string | null;
  readonly marketCap: number | null;
  /** What its first bar is about, in millionths. */
  readonly firstPrice: number;
}

const LETTERS = 26;
const SYMBOLS = LETTERS ** 4;
/** No factor in common with 26: every index has a symbol of its own. */
const STEP = 7_919;
export const MAX_LISTINGS = 100_000;

/** A hundredth each. */
const SHARES: readonly (readonly [exchange: string, share: number])[] = [
  ['NYSE', 30],
  ['NASDAQ', 30],
  ['LSE', 10],
  ['XETRA', 10],
  ['TSE', 10],
  ['NSE', 5],
  ['HKEX', 5],
];
const EXCHANGES = SHARES.flatMap(([exchange, share]) => Array<string>(share).fill(exchange));

const INDUSTRIES: Readonly<Record<string, readonly string[]>> = {
  Technology: ['Software', 'Semiconductors', 'Hardware'],
  Health: ['Biotechnology', 'Devices'],
  Finance: ['Banks', 'Insurance'],
  Energy: ['Oil and gas', 'Renewables'],
  Industry: ['Machinery', 'Aerospace', 'Transport'],
  Consumer: ['Retail', 'Food', 'Travel'],
};
const SECTORS = Object.keys(INDUSTRIES);

const FIRST = ['Alder', 'Birch', 'Cedar', 'Dover', 'Ember', 'Fjord', 'Grove', 'Haven', 'Isle', 'Juno'];
const SECOND = ['Works', 'Holdings', 'Systems', 'Partners', 'Group', 'Labs'];

/** The same stocks for the same seed; fewer of them are the first ones. */
export function makeListings(count: number, seed: number): Listing[] {
  const random = new Random(seed, 'listings');
  return Array.from({ length: count }, (_, index) => {
    const exchange = EXCHANGES[random.below(EXCHANGES.length)]!;
    const sector = SECTORS[random.below(SECTORS.length)]!;
    const industries = INDUSTRIES[sector]!;
    const symbol = symbolOf(index);
    return {
      symbol,
      name: `${FIRST[random.below(FIRST.length)]} ${SECOND[random.below(SECOND.length)]} ${symbol}`,
      exchange,
      industry: industries[random.below(industries.length)]!,
      // Some are not classified yet, and of some nobody knows the worth.
      sector: random.chance(0.02) ? null : sector,
      marketCap: random.chance(0.05) ? null : Math.floor(random.logUniform(1e7, 3e12)),
      firstPrice: Math.floor(random.logUniform(200_000, 2_000_000_000)),
    };
  });
}

function symbolOf(index: number): string {
  let rest = (index * STEP + 4_711) % SYMBOLS;
  let symbol = '';
  for (let letter = 0; letter < 4; letter += 1) {
    symbol += String.fromCharCode(65 + (rest % LETTERS));
    rest = Math.floor(rest / LETTERS);
  }
  return symbol;
}
