-- The two tables that the engagement pipeline captures.
--
-- Kinds are text with a named CHECK, not an enum type: Debezium then sends a plain string (an enum's list of values is
-- part of its Avro schema, so that each new value would be a new schema), and a value is added without a rewrite:
--   ALTER TABLE engagement_events
--     DROP CONSTRAINT engagement_events_event_type_known,
--     ADD CONSTRAINT engagement_events_event_type_known CHECK (event_type IN (…, 'share')) NOT VALID;
--   ALTER TABLE engagement_events VALIDATE CONSTRAINT engagement_events_event_type_known;

CREATE TABLE content (
  id             uuid        PRIMARY KEY,
  slug           text        NOT NULL,
  title          text        NOT NULL,
  content_type   text        NOT NULL,
  length_seconds integer,
  publish_ts     timestamptz NOT NULL,
  CONSTRAINT content_slug_unique UNIQUE (slug),
  CONSTRAINT content_content_type_known CHECK (content_type IN ('podcast', 'newsletter', 'video')),
  CONSTRAINT content_length_not_negative CHECK (length_seconds >= 0)
);

CREATE TABLE engagement_events (
  id          bigserial   PRIMARY KEY,
  content_id  uuid        NOT NULL,
  user_id     uuid        NOT NULL,
  event_type  text        NOT NULL,
  event_ts    timestamptz NOT NULL,
  duration_ms integer,
  device      text,
  raw_payload jsonb,
  CONSTRAINT engagement_events_content_exists FOREIGN KEY (content_id) REFERENCES content (id),
  CONSTRAINT engagement_events_event_type_known CHECK (event_type IN ('play', 'pause', 'finish', 'click'))
);

-- Per content in time order: the application's pages, reconcile by content, and the foreign key.
CREATE INDEX engagement_events_content_ts ON engagement_events (content_id, event_ts);

-- Ranges of time over the whole table. minmax-multi, because a few late rows in a block range would make a plain
-- minimum and maximum cover everything.
CREATE INDEX engagement_events_ts ON engagement_events
  USING brin (event_ts timestamptz_minmax_multi_ops) WITH (pages_per_range = 32, autosummarize = on);

-- The before image of every update and delete: contributions are signed, so what is taken off must be known.
ALTER TABLE content REPLICA IDENTITY FULL;
ALTER TABLE engagement_events REPLICA IDENTITY FULL;

COMMENT ON COLUMN content.length_seconds IS 'NULL when there is no length (a newsletter); 0 gives no percentage';
COMMENT ON COLUMN engagement_events.event_ts IS 'when it happened at the user''s; may be days before the insert';
COMMENT ON COLUMN engagement_events.duration_ms IS 'engaged time in milliseconds; NULL when not measured';
COMMENT ON COLUMN engagement_events.raw_payload IS 'what the client sent; no figure is computed from it';
