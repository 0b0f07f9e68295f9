/** The contents that traffic is about. */
import { Random } from '../../random.ts';

export const CONTENT_TYPES = ['podcast', 'newsletter', 'video'] as const;
export type ContentType = (typeof CONTENT_TYPES)[number];

export interface Content {
  readonly id: Uint8Array;
  readonly slug: string;
  readonly title: string;
  readonly type: ContentType;
  /** NULL where there is none; 0 exists, and gives no percentage. */
  readonly lengthSeconds: number | null;
  readonly publishMicros: number;
}

/** Microseconds; far enough back that late events still fall behind it. */
const YEAR_MICROS = 365 * 86_400 * 1e6;

const TOPICS = ['Tides', 'Kitchens', 'Markets', 'Maps', 'Voices', 'Rivers', 'Engines', 'Letters', 'Cities', 'Stars'];
const MOODS = ['Quiet', 'Open', 'Second', 'Northern', 'Hidden', 'Daily', 'Slow', 'Bright', 'Long', 'Early'];

/** A version 4 UUID. */
export function randomUuid(random: Random): Uint8Array {
  const bytes = new Uint8Array(16);
  for (let at = 0; at < 16; at += 4) new DataView(bytes.buffer).setUint32(at, random.uint32());
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
}

/** The text form: 8-4-4-4-12 hexadecimal digits. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Contents by popularity, the most popular first: 55 % podcasts, 25 % videos, 20 % newsletters. */
export function makeCatalogue(count: number, seed: number, nowMicros: number): Content[] {
  const random = new Random(seed, 'catalogue');
  return Array.from({ length: count }, () => {
    const id = randomUuid(random);
    const title = makeTitle(random);
    const type = makeType(random);
    return {
      id,
      slug: makeSlug(title, id),
      title,
      type,
      lengthSeconds: makeLength(random, type),
      publishMicros: Math.floor(nowMicros - random.unit() * YEAR_MICROS),
    };
  });
}

/** What an editor would change: mostly the title, sometimes the slug or the length, seldom the type. */
export function editContent(content: Content, edition: number, random: Random): Content {
  const kind = random.unit();
  if (kind < 0.5) return { ...content, title: `${makeTitle(random)} (${edition})` };
  // The edition keeps the slug unique: two contents never share the digits of an id, nor one content an edition.
  if (kind < 0.7) return { ...content, slug: `${makeSlug(makeTitle(random), content.id)}-${edition}` };
  if (kind < 0.9) return { ...content, lengthSeconds: makeLength(random, content.type) };
  const type = makeType(random);
  return { ...content, type, lengthSeconds: makeLength(random, type) };
}

function makeTitle(random: Random): string {
  return `${MOODS[random.below(MOODS.length)]} ${TOPICS[random.below(TOPICS.length)]} ${1 + random.below(400)}`;
}

function makeSlug(title: string, id: Uint8Array): string {
  return `${title.toLowerCase().replaceAll(' ', '-')}-${Buffer.from(id).toString('hex').slice(0, 14)}`;
}

function makeType(random: Random): ContentType {
  const share = random.unit();
  if (share < 0.55) return 'podcast';
  return share < 0.8 ? 'video' : 'newsletter';
}

function makeLength(random: Random, type: ContentType): number | null {
  if (type === 'newsletter') return random.chance(0.85) ? null : 60 + random.below(600);
  if (random.chance(0.03)) return null;
  if (random.chance(0.01)) return 0;
  return type === 'podcast' ? 600 + random.below(6_600) : 30 + random.below(2_400);
}
