-- What operators did: a copy of the topic sluice.audit, which is the record that counts. Each command brings the copy up to date.

CREATE TABLE IF NOT EXISTS {table:sluice_audit}{on_cluster} (
  source_offset UInt64 COMMENT 'offset in the topic sluice.audit',
  run_id UUID COMMENT 'one run of one command',
  at DateTime64(3, 'UTC') COMMENT 'when, by the clock of the machine that ran it',
  phase LowCardinality(String) COMMENT 'started or ended; a run that was killed has no end',
  command LowCardinality(String) COMMENT 'words of the command, e.g. dlq redrive',
  actor String COMMENT 'who: SLUICE_OPERATOR, or the user of the operating system',
  host String COMMENT 'where it ran',
  arguments String COMMENT 'its arguments, as JSON',
  outcome LowCardinality(String) COMMENT 'done, incomplete, dry-run, declined, interrupted or failed; empty at the start',
  message String COMMENT 'the error, where there was one',
  result String COMMENT 'what it reported, as JSON'
)
ENGINE = {engine:ReplacingMergeTree}
ORDER BY source_offset
COMMENT 'Read with FINAL, or through sluice_operations';

{distributed:sluice_audit source_offset}

CREATE OR REPLACE VIEW sluice_operations{on_cluster} (
  run_id UUID COMMENT 'one run of one command',
  started_at DateTime64(3, 'UTC') COMMENT 'when it began',
  ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it ended; NULL while it runs, and for ever if it was killed',
  command String COMMENT 'words of the command',
  actor String COMMENT 'who',
  host String COMMENT 'where',
  arguments String COMMENT 'its arguments, as JSON',
  outcome String COMMENT 'how it ended; unfinished while it has not',
  message String COMMENT 'the error, where there was one',
  result String COMMENT 'what it reported, as JSON'
) AS
SELECT
  run_id,
  min(at) AS started_at,
  maxOrNullIf(at, phase = 'ended') AS ended_at,
  any(command) AS command,
  any(actor) AS actor,
  any(host) AS host,
  any(arguments) AS arguments,
  if(countIf(phase = 'ended') = 0, 'unfinished', anyIf(outcome, phase = 'ended')) AS outcome,
  anyIf(message, phase = 'ended') AS message,
  anyIf(result, phase = 'ended') AS result
FROM (SELECT * FROM sluice_audit FINAL)
GROUP BY run_id;
