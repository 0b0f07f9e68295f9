-- What change data capture needs: the source clock, the signal table, the publication, and no TRUNCATE.

-- The source clock. Debezium updates the one row every second, so that the time passes through the WAL in commit order.
CREATE TABLE sluice_heartbeat (
  id      integer     PRIMARY KEY,
  beat_at timestamptz NOT NULL
);

-- Commands to Debezium (incremental snapshots), and its own watermarks while one runs.
-- https://debezium.io/documentation/reference/stable/configuration/signalling.html
CREATE TABLE sluice_signal (
  id   text PRIMARY KEY,
  type text NOT NULL,
  data text
);

-- An explicit list: a new table is captured by a migration that says so, never by accident. No truncate: it has no rows.
CREATE PUBLICATION sluice
  FOR TABLE content, engagement_events, sluice_heartbeat, sluice_signal
  WITH (publish = 'insert, update, delete');

-- A TRUNCATE leaves no row changes, so every figure downstream would silently keep what is gone.
CREATE FUNCTION sluice_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE of % cannot be captured row by row', TG_TABLE_NAME
    USING ERRCODE = 'feature_not_supported', HINT = 'Use DELETE: each row is then taken off every figure downstream.';
END
$$;

CREATE TRIGGER sluice_no_truncate BEFORE TRUNCATE ON content
  FOR EACH STATEMENT EXECUTE FUNCTION sluice_refuse_truncate();
CREATE TRIGGER sluice_no_truncate BEFORE TRUNCATE ON engagement_events
  FOR EACH STATEMENT EXECUTE FUNCTION sluice_refuse_truncate();
ALTER TABLE content ENABLE ALWAYS TRIGGER sluice_no_truncate;
ALTER TABLE engagement_events ENABLE ALWAYS TRIGGER sluice_no_truncate;
