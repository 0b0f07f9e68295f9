/** The tables that the connector captures: what all pipelines ask for. */
import type { CapturedTable } from '../connectors/debezium/config.ts';
import { ENGAGEMENT_TABLES } from './engagement/capture.ts';
import { PRICES_TABLES } from './prices/capture.ts';

export const CAPTURED_TABLES: readonly CapturedTable[] = [...ENGAGEMENT_TABLES, ...PRICES_TABLES];
