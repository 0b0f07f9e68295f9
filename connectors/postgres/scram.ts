import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

/** What initdb and CREATE ROLE use: https://www.postgresql.org/docs/18/runtime-config-connection.html#GUC-SCRAM-ITERATIONS */
const ITERATIONS = 4_096;
const KEY_BYTES = 32;

/**
 * The SCRAM-SHA-256 verifier of a password, as `ALTER ROLE … PASSWORD` accepts it. Made here, so that the password itself
 * appears in no statement, and so in no log of the server.
 * https://www.postgresql.org/docs/18/catalog-pg-authid.html
 */
export function scramVerifier(password: string, salt: Uint8Array = randomBytes(16)): string {
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, KEY_BYTES, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${Buffer.from(salt).toString('base64')}$${storedKey}:${serverKey}`;
}
