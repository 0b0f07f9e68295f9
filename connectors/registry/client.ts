/**
 * The schema registry. Schemas are registered when Sluice is deployed; a worker only looks them up, so that what it
 * writes was checked against what others read.
 */
import { z } from 'zod';
import { SluiceError } from '../../engine/errors.ts';
import { type HttpOptions, RegistryHttp } from './http.ts';

/** A subject as it should be. */
export interface SubjectSpec {
  readonly name: string;
  /** The schema's JSON text, the same for the same schema. */
  readonly text: string;
  /** `FULL_TRANSITIVE`, `BACKWARD`, … */
  readonly compatibility: string;
}

/** How the registry's subject differs from the one that should be. */
export type SubjectCheck =
  | { readonly kind: 'registered'; readonly id: number; readonly version: number }
  /** There is no such subject yet. */
  | { readonly kind: 'new' }
  /** Another schema is registered, and this one may follow it. */
  | { readonly kind: 'compatible' }
  | { readonly kind: 'incompatible'; readonly reason: string }
  /** The subject's rule is another one, so the registry cannot judge by the right one. */
  | { readonly kind: 'rule-differs'; readonly configured: string };

export interface Registered {
  readonly id: number;
  readonly version: number;
  /** Whether this call registered it. */
  readonly created: boolean;
  /** The rule that this call replaced, or null when it was right. */
  readonly replacedCompatibility: string | null;
}

export interface SubjectVersion {
  readonly id: number;
  readonly version: number;
  readonly text: string;
}

const SUBJECT_NOT_FOUND = 40401;
const VERSION_NOT_FOUND = 40402;
const SCHEMA_NOT_FOUND = 40403;
const LEVEL_NOT_FOUND = 40408;
const NOT_FOUND = [SUBJECT_NOT_FOUND, VERSION_NOT_FOUND, SCHEMA_NOT_FOUND, LEVEL_NOT_FOUND];

/** Schemas are immutable, so what is cached stays right; more than this many are no longer all kept. */
const MAX_CACHED = 1_000;

const versionAnswer = z.object({ id: z.number().int(), version: z.number().int(), schema: z.string() });
const idAnswer = z.object({ id: z.number().int() });
const schemaAnswer = z.object({ schema: z.string() });
const configAnswer = z.object({ compatibilityLevel: z.string() });
const compatibleAnswer = z.object({
  is_compatible: z.boolean(),
  reason: z.string().nullish(),
  messages: z.array(z.string()).nullish(),
});

export class RegistryClient {
  readonly #http: RegistryHttp;
  readonly #texts = new Map<number, string>();
  readonly #ids = new Map<string, number>();

  constructor(options: HttpOptions) {
    this.#http = new RegistryHttp(options);
  }

  /** The text of the schema with this id, or null when there is none. Cached. Rejects when the registry cannot tell. */
  async schemaById(id: number): Promise<string | null> {
    const known = this.#texts.get(id);
    if (known !== undefined) return known;
    const answer = await this.#http.send('GET', `/schemas/ids/${id}`, undefined, NOT_FOUND);
    if (answer.status >= 300) return null;
    const text = parsed(schemaAnswer, answer.body).schema;
    remember(this.#texts, id, text);
    return text;
  }

  /**
   * The id under which exactly this schema is registered for the subject. Cached. Throws SCHEMA_NOT_REGISTERED (fatal)
   * when it is not: nothing registers a schema at run time.
   */
  async idOf({ name, text }: Pick<SubjectSpec, 'name' | 'text'>): Promise<number> {
    const key = `${name}\n${text}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const found = await this.#find(name, text);
    if (found === null) {
      throw new SluiceError(`The schema of ${name} is not registered: run npm run schemas -- register`, {
        code: 'SCHEMA_NOT_REGISTERED',
        action: 'fatal',
      });
    }
    remember(this.#ids, key, found.id);
    remember(this.#texts, found.id, text);
    return found.id;
  }

  /** Compares a subject with the registry; changes nothing. */
  async check({ name, text, compatibility }: SubjectSpec): Promise<SubjectCheck> {
    const configured = await this.compatibilityOf(name);
    const latest = await this.latest(name);
    if (latest === null) return { kind: 'new' };
    if (configured !== compatibility) return { kind: 'rule-differs', configured: configured ?? 'none of its own' };
    const found = await this.#find(name, text);
    if (found !== null) return { kind: 'registered', id: found.id, version: found.version };
    const reason = await this.#incompatibility(name, text);
    return reason === null ? { kind: 'compatible' } : { kind: 'incompatible', reason };
  }

  /**
   * Makes a subject what it should be: its rule, then its schema as the next version unless it is one already.
   * Throws SCHEMA_INCOMPATIBLE (fatal) with the registry's reason; the rule is set all the same.
   */
  async register({ name, text, compatibility }: SubjectSpec): Promise<Registered> {
    const configured = await this.compatibilityOf(name);
    const replaced = configured !== compatibility;
    // The rule first: from the first version on, nobody can slip in what breaks it.
    if (replaced) await this.#http.send('PUT', `/config/${encodeURIComponent(name)}`, { compatibility });
    const replacedCompatibility = replaced ? (configured ?? 'none of its own') : null;
    const found = await this.#find(name, text);
    if (found !== null) return { id: found.id, version: found.version, created: false, replacedCompatibility };
    const reason = await this.#incompatibility(name, text);
    if (reason !== null) {
      throw new SluiceError(`The schema of ${name} is not ${compatibility} compatible: ${reason}`, {
        code: 'SCHEMA_INCOMPATIBLE',
        action: 'fatal',
      });
    }
    const answer = await this.#http.send('POST', `/subjects/${encodeURIComponent(name)}/versions`, { schema: text });
    const { id } = parsed(idAnswer, answer.body);
    const version = (await this.#find(name, text))?.version ?? 0;
    return { id, version, created: true, replacedCompatibility };
  }

  /** All subjects, sorted. */
  async subjects(): Promise<readonly string[]> {
    const answer = await this.#http.send('GET', '/subjects');
    return parsed(z.array(z.string()), answer.body).sort();
  }

  /** The ids of all versions of a subject, oldest first; none when there is no such subject. */
  async versionIds(name: string): Promise<readonly number[]> {
    const path = `/subjects/${encodeURIComponent(name)}/versions`;
    const answer = await this.#http.send('GET', path, undefined, NOT_FOUND);
    if (answer.status >= 300) return [];
    const ids: number[] = [];
    for (const version of parsed(z.array(z.number().int()), answer.body)) {
      ids.push(versionOf((await this.#http.send('GET', `${path}/${version}`)).body).id);
    }
    return ids;
  }

  /** The newest version of a subject, or null when there is none. */
  async latest(name: string): Promise<SubjectVersion | null> {
    const path = `/subjects/${encodeURIComponent(name)}/versions/latest`;
    const answer = await this.#http.send('GET', path, undefined, NOT_FOUND);
    return answer.status >= 300 ? null : versionOf(answer.body);
  }

  /** The subject's own rule, or null when it has none. */
  async compatibilityOf(name: string): Promise<string | null> {
    const answer = await this.#http.send('GET', `/config/${encodeURIComponent(name)}`, undefined, NOT_FOUND);
    return answer.status >= 300 ? null : parsed(configAnswer, answer.body).compatibilityLevel;
  }

  async #find(name: string, text: string): Promise<SubjectVersion | null> {
    const path = `/subjects/${encodeURIComponent(name)}`;
    const answer = await this.#http.send('POST', path, { schema: text }, NOT_FOUND);
    return answer.status >= 300 ? null : versionOf(answer.body);
  }

  /** Why the schema may not follow what is registered, or null when it may. */
  async #incompatibility(name: string, text: string): Promise<string | null> {
    const path = `/compatibility/subjects/${encodeURIComponent(name)}/versions?verbose=true`;
    const answer = await this.#http.send('POST', path, { schema: text }, NOT_FOUND);
    if (answer.status >= 300) return null;
    const { is_compatible, reason, messages } = parsed(compatibleAnswer, answer.body);
    // Apicurio says `reason`, Confluent's registry `messages`.
    return is_compatible ? null : (reason ?? messages?.join('; ') ?? 'the registry gives no reason');
  }
}

function versionOf(body: unknown): SubjectVersion {
  const { id, version, schema } = parsed(versionAnswer, body);
  return { id, version, text: schema };
}

function parsed<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw new SluiceError(`The schema registry's answer is not understood: ${z.prettifyError(result.error)}`, {
    code: 'REGISTRY_BAD_ANSWER',
    action: 'fatal',
    cause: result.error,
  });
}

function remember<K, V>(cache: Map<K, V>, key: K, value: V): void {
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(key, value);
}
