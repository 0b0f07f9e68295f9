/** The real servers that test files share, as the global set-up started them. */
import { inject } from 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    /** SLUICE_* variables of the stack. */
    stack: Readonly<Record<string, string>>;
  }
}

export function stackEnv(): Readonly<Record<string, string>> {
  return inject('stack');
}

export function brokers(): string[] {
  return stackEnv().SLUICE_KAFKA_BROKERS!.split(',');
}

let counter = 0;

/** A name that no other test uses. */
export function unique(prefix: string): string {
  counter++;
  return `${prefix}-${process.pid}-${Date.now().toString(36)}-${counter}`;
}
