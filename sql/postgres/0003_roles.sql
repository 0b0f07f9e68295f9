-- Three roles with no more rights than they need. They get their passwords from the environment when migrations are
-- applied; until then nobody can log in as one. Roles belong to the server, not the database, so they may exist already.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sluice_capture', 'sluice_writer', 'sluice_reader'] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I LOGIN', name);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- made by another database of this server, perhaps at this moment
    END;
  END LOOP;
END
$$;

-- Everything below is granted explicitly.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO sluice_capture, sluice_writer, sluice_reader;

-- Debezium: streams, reads for snapshots, beats the clock, reads signals and writes its watermarks.
ALTER ROLE sluice_capture REPLICATION;
GRANT SELECT ON content, engagement_events TO sluice_capture;
GRANT SELECT, INSERT, UPDATE ON sluice_heartbeat TO sluice_capture;
GRANT SELECT, INSERT, DELETE ON sluice_signal TO sluice_capture;

-- The application. No TRUNCATE, which is a right of its own.
GRANT SELECT, INSERT, UPDATE, DELETE ON content, engagement_events TO sluice_writer;
GRANT USAGE, SELECT ON SEQUENCE engagement_events_id_seq TO sluice_writer;

-- Reconcile and people who look.
GRANT SELECT ON content, engagement_events, sluice_heartbeat TO sluice_reader;
