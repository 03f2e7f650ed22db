-- What recording fidelity needs: what an app wants of VP8, its snapshot in each job, and which tracks were transcoded. A
-- job may forward to RTMP servers, and then needs no rule; where its targets stand is kept beside it.

ALTER TABLE apps
    ADD COLUMN vp8 VARCHAR(8) DEFAULT 'webm' NOT NULL;

ALTER TABLE jobs
    ADD COLUMN transcoded JSONB,
    ADD COLUMN vp8 VARCHAR(8) DEFAULT 'webm' NOT NULL,
    ALTER COLUMN rule_id DROP NOT NULL,
    ALTER COLUMN rule DROP NOT NULL,
    ADD COLUMN forward_urls VARCHAR(1024)[] DEFAULT '{}' NOT NULL,
    ADD COLUMN forwarding JSONB DEFAULT '[]' NOT NULL;
