SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.adopted_tables (
    table_name text NOT NULL,
    adopted_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.central_jobs (
    job text NOT NULL,
    runs bigint DEFAULT 0 NOT NULL,
    failures bigint DEFAULT 0 NOT NULL,
    last_finished_at timestamp with time zone,
    last_outcome text,
    changed bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.edge_events (
    event_id text NOT NULL,
    gateway_id text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    "time" timestamp with time zone NOT NULL,
    body jsonb NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.gateway_counters (
    gateway_id text NOT NULL,
    batches bigint DEFAULT 0 NOT NULL,
    rows bigint DEFAULT 0 NOT NULL,
    events bigint DEFAULT 0 NOT NULL,
    duplicates bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    last_commit_at timestamp with time zone,
    conflicts bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.gateway_keys (
    key_sha256 bytea NOT NULL,
    gateway_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone
);
CREATE TABLE public.hourly_pending (
    id bigint NOT NULL,
    hour timestamp with time zone NOT NULL,
    gateway_id text DEFAULT ''::text NOT NULL
);
ALTER TABLE public.hourly_pending ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.hourly_pending_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.reading_conflicts (
    gateway_id text NOT NULL,
    sensor_id text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    stored_value double precision NOT NULL,
    stored_quality double precision,
    offered_value double precision NOT NULL,
    offered_quality double precision NOT NULL,
    times bigint DEFAULT 1 NOT NULL,
    first_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE public.reading_corrections (
    id bigint NOT NULL,
    sensor_id text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    old_value double precision NOT NULL,
    old_quality double precision,
    new_value double precision NOT NULL,
    new_quality double precision,
    reason text NOT NULL,
    corrected_by text NOT NULL,
    corrected_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
ALTER TABLE public.reading_corrections ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.reading_corrections_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.schema_version (
    version integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now()
);
CREATE TABLE public.sensor_readings (
    "timestamp" timestamp with time zone NOT NULL,
    sensor_id text NOT NULL,
    value double precision NOT NULL,
    sensor_type text,
    unit text,
    quality double precision,
    sensor_metadata jsonb
);
CREATE TABLE public.sensor_readings_hourly (
    sensor_id text NOT NULL,
    hour timestamp with time zone NOT NULL,
    count bigint NOT NULL,
    min double precision NOT NULL,
    max double precision NOT NULL,
    mean double precision,
    sum double precision
);
CREATE TABLE public.sensors (
    sensor_id text NOT NULL,
    sensor_type text NOT NULL,
    unit text NOT NULL,
    gateway_id text NOT NULL,
    registered_at timestamp with time zone DEFAULT now() NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL
);
INSERT INTO public.edge_events VALUES ('ev-1', 'gw-1', 'gap', 'pump-07', '2026-01-01 00:00:00+00', '{"cause": "link down"}', '2026-11-30 19:45:12.39964+00');
INSERT INTO public.gateway_counters VALUES ('gw-1', 3, 40, 1, 41, 1, '2026-11-30 19:45:12.505746+00', 1);
INSERT INTO public.gateway_keys VALUES ('\x85d553534a3fc6781cee7b53557efa6cdbb7b2bc00e855829ea8d10409ebb80c', 'gw-1', '2026-11-30 19:45:12.378974+00', NULL);
INSERT INTO public.hourly_pending OVERRIDING SYSTEM VALUE VALUES (1, '2026-01-01 00:00:00+00', 'gw-1');
INSERT INTO public.reading_conflicts VALUES ('gw-1', 'pump-07.de-x.rms', '2026-01-01 00:00:00+00', 0, 1, 99, 1, 1, '2026-11-30 19:45:12.505066+00', '2026-11-30 19:45:12.505066+00');
INSERT INTO public.schema_version VALUES (1, '2026-11-30 19:45:12.186456+00');
INSERT INTO public.schema_version VALUES (2, '2026-11-30 19:45:12.186456+00');
INSERT INTO public.schema_version VALUES (3, '2026-11-30 19:45:12.186456+00');
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:00+00', 'pump-07.de-x.rms', 0, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:01+00', 'pump-07.de-x.rms', 0.125, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:02+00', 'pump-07.de-x.rms', 0.25, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:03+00', 'pump-07.de-x.rms', 0.375, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:04+00', 'pump-07.de-x.rms', 0.5, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:05+00', 'pump-07.de-x.rms', 0.625, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:06+00', 'pump-07.de-x.rms', 0.75, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:07+00', 'pump-07.de-x.rms', 0.875, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:08+00', 'pump-07.de-x.rms', 1, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:09+00', 'pump-07.de-x.rms', 1.125, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:10+00', 'pump-07.de-x.rms', 1.25, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:11+00', 'pump-07.de-x.rms', 1.375, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:12+00', 'pump-07.de-x.rms', 1.5, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:13+00', 'pump-07.de-x.rms', 1.625, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:14+00', 'pump-07.de-x.rms', 1.75, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:15+00', 'pump-07.de-x.rms', 1.875, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:16+00', 'pump-07.de-x.rms', 2, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:17+00', 'pump-07.de-x.rms', 2.125, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:18+00', 'pump-07.de-x.rms', 2.25, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:19+00', 'pump-07.de-x.rms', 2.375, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:20+00', 'pump-07.de-x.rms', 2.5, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:21+00', 'pump-07.de-x.rms', 2.625, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:22+00', 'pump-07.de-x.rms', 2.75, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:23+00', 'pump-07.de-x.rms', 2.875, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:24+00', 'pump-07.de-x.rms', 3, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:25+00', 'pump-07.de-x.rms', 3.125, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:26+00', 'pump-07.de-x.rms', 3.25, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:27+00', 'pump-07.de-x.rms', 3.375, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:28+00', 'pump-07.de-x.rms', 3.5, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:29+00', 'pump-07.de-x.rms', 3.625, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:30+00', 'pump-07.de-x.rms', 3.75, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:31+00', 'pump-07.de-x.rms', 3.875, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:32+00', 'pump-07.de-x.rms', 4, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:33+00', 'pump-07.de-x.rms', 4.125, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:34+00', 'pump-07.de-x.rms', 4.25, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:35+00', 'pump-07.de-x.rms', 4.375, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:36+00', 'pump-07.de-x.rms', 4.5, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:37+00', 'pump-07.de-x.rms', 4.625, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:38+00', 'pump-07.de-x.rms', 4.75, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensor_readings VALUES ('2026-01-01 00:00:39+00', 'pump-07.de-x.rms', 4.875, 'vibration', 'mm/s', 1, NULL);
INSERT INTO public.sensors VALUES ('pump-07.de-x.rms', 'vibration', 'mm/s', 'gw-1', '2026-11-30 19:45:12.39964+00', '{}');
SELECT pg_catalog.setval('public.hourly_pending_id_seq', 1, true);
SELECT pg_catalog.setval('public.reading_corrections_id_seq', 1, false);
ALTER TABLE ONLY public.adopted_tables
    ADD CONSTRAINT adopted_tables_pkey PRIMARY KEY (table_name);
ALTER TABLE ONLY public.central_jobs
    ADD CONSTRAINT central_jobs_pkey PRIMARY KEY (job);
ALTER TABLE ONLY public.edge_events
    ADD CONSTRAINT edge_events_pkey PRIMARY KEY (event_id);
ALTER TABLE ONLY public.gateway_counters
    ADD CONSTRAINT gateway_counters_pkey PRIMARY KEY (gateway_id);
ALTER TABLE ONLY public.gateway_keys
    ADD CONSTRAINT gateway_keys_pkey PRIMARY KEY (key_sha256);
ALTER TABLE ONLY public.hourly_pending
    ADD CONSTRAINT hourly_pending_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.reading_conflicts
    ADD CONSTRAINT reading_conflicts_pkey PRIMARY KEY (gateway_id, sensor_id, "timestamp");
ALTER TABLE ONLY public.reading_corrections
    ADD CONSTRAINT reading_corrections_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.sensor_readings_hourly
    ADD CONSTRAINT sensor_readings_hourly_pkey PRIMARY KEY (sensor_id, hour);
ALTER TABLE ONLY public.sensor_readings
    ADD CONSTRAINT sensor_readings_pkey PRIMARY KEY ("timestamp", sensor_id);
ALTER TABLE ONLY public.sensors
    ADD CONSTRAINT sensors_pkey PRIMARY KEY (sensor_id);
CREATE INDEX edge_events_by_time ON public.edge_events USING btree ("time" DESC);
CREATE INDEX reading_corrections_by_key ON public.reading_corrections USING btree ("timestamp", sensor_id, id);
CREATE INDEX sensor_readings_by_sensor ON public.sensor_readings USING btree (sensor_id, "timestamp" DESC);
CREATE INDEX sensor_readings_hourly_by_hour ON public.sensor_readings_hourly USING btree (hour DESC);
