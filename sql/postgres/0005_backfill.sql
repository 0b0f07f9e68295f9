-- Runs of `npm run backfill`: what was asked for, and how far it is. A run outlives the process that drives it.
CREATE TABLE sluice_backfill (
  run_id       uuid        PRIMARY KEY,
  -- json and not jsonb: what was asked for is compared as text.
  request      json        NOT NULL,
  status       text        NOT NULL,
  -- Raised by each process that takes the run over: who holds an older one can write nothing any more.
  epoch        integer     NOT NULL DEFAULT 0,
  -- What is to be read again, what was, and what Debezium was asked for and has not reported yet.
  progress     json        NOT NULL,
  -- No notification about the run is in front of this offset of sluice.notifications.
  notices_from bigint      NOT NULL,
  started_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT sluice_backfill_status_known CHECK (status IN ('running', 'paused', 'done', 'cancelled'))
);

-- One at a time: two would share Debezium's one queue of snapshots, and neither could keep its rate.
CREATE UNIQUE INDEX sluice_backfill_one_open ON sluice_backfill ((true)) WHERE status IN ('running', 'paused');

COMMENT ON TABLE sluice_backfill IS 'docs/backfill.md';
