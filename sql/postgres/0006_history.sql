-- Runs of `npm run history -- load`: what is loaded, and how far it is. A run outlives the process that drives it.
CREATE TABLE sluice_history (
  run_id        uuid        PRIMARY KEY,
  -- json and not jsonb: what was asked for is compared as text.
  request       json        NOT NULL,
  status        text        NOT NULL,
  -- Raised by each process that takes the run over: who holds an older one can write nothing any more.
  epoch         integer     NOT NULL DEFAULT 0,
  rows_planned  bigint      NOT NULL,
  -- Chunks whose rows are in stock_prices: noted in the transaction that wrote them.
  chunks        integer     NOT NULL DEFAULT 0,
  rows_read     bigint      NOT NULL DEFAULT 0,
  rows_changed  bigint      NOT NULL DEFAULT 0,
  rows_rejected bigint      NOT NULL DEFAULT 0,
  started_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT sluice_history_status_known CHECK (status IN ('running', 'done', 'cancelled'))
);

-- One at a time: two would wait for each other's rows.
CREATE UNIQUE INDEX sluice_history_one_open ON sluice_history ((true)) WHERE status = 'running';

COMMENT ON TABLE sluice_history IS 'docs/prices-history.md';
