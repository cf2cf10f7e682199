-- Whole requests come in here and are stored nowhere: the views below take them apart.
CREATE TABLE otlp_traces ($otlp_traces) ENGINE = Null;

CREATE TABLE spans_in ($span_columns) ENGINE = Null;

CREATE TABLE spans
(
    $span_columns,
    INDEX time_range start_time TYPE minmax GRANULARITY 1
)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (service_name, start_time);

CREATE MATERIALIZED VIEW otlp_to_spans_in TO spans_in AS
SELECT
    now() AS received, service_name, resource_id, scope_id,
    s.trace_id AS trace_id, s.span_id AS span_id, s.parent_span_id AS parent_span_id, s.trace_state AS trace_state,
    s.flags AS flags, s.name AS name, s.kind AS kind,
    fromUnixTimestamp64Nano(reinterpretAsInt64(s.start_time_unix_nano), 'UTC') AS start_time,
    reinterpretAsInt64(s.end_time_unix_nano - s.start_time_unix_nano) AS duration,
    s.status.code AS status_code, s.status.message AS status_message,
    s.attributes AS attributes, s.dropped_attributes_count AS dropped_attributes_count,
    s.events AS events, s.dropped_events_count AS dropped_events_count,
    s.links AS links, s.dropped_links_count AS dropped_links_count
FROM
(
    SELECT arrayJoin(ss.spans) AS s, service_name, resource_id, cityHash64(ss.scope, ss.schema_url) AS scope_id
    FROM
    (
        SELECT
            arrayJoin(rs.scope_spans) AS ss, cityHash64(rs.resource, rs.schema_url) AS resource_id,
            $service_name AS service_name
        FROM (SELECT arrayJoin(resource_spans) AS rs FROM otlp_traces)
    )
);

CREATE MATERIALIZED VIEW spans_in_to_spans TO spans AS SELECT * FROM spans_in;

-- Where a trace lies in time, so that finding one by its id reads a few granules of `spans`.
CREATE TABLE trace_index
(
    received DateTime CODEC(Delta, ZSTD(1)),
    trace_id String,
    first_start DateTime64(9, 'UTC'),
    last_start DateTime64(9, 'UTC')
)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY trace_id;

CREATE MATERIALIZED VIEW spans_in_to_trace_index TO trace_index AS
SELECT any(received) AS received, trace_id, min(start_time) AS first_start, max(start_time) AS last_start
FROM spans_in
GROUP BY trace_id;

-- Rate, errors and duration per operation and minute. A bucket is the logarithm of the duration to the base 1.1, in
-- nanoseconds, so a quantile read from it is within 5 % of the exact one.
CREATE TABLE operations
(
    received DateTime CODEC(Delta, ZSTD(1)),
    service_name LowCardinality(String),
    name LowCardinality(String),
    kind Int32,
    minute DateTime('UTC'),
    spans SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    duration SimpleAggregateFunction(sum, Int64),
    longest SimpleAggregateFunction(max, Int64),
    buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64))
)
ENGINE = $AggregatingMergeTree PARTITION BY toDate(received) ORDER BY (service_name, name, kind, minute);

CREATE MATERIALIZED VIEW spans_in_to_operations TO operations AS
SELECT
    max(received) AS received, service_name, name, kind, minute, sum(n) AS spans, sum(failed) AS errors,
    sum(total) AS duration, max(most) AS longest, sumMap(map(bucket, n)) AS buckets
FROM
(
    SELECT
        max(received) AS received, service_name, name, kind, toStartOfMinute(start_time) AS minute,
        toUInt16(log2(greatest(duration, 1)) * 7.272540897341713) AS bucket,
        count() AS n, countIf(status_code = 2) AS failed, sum(spans_in.duration) AS total, max(spans_in.duration) AS most
    FROM spans_in
    GROUP BY service_name, name, kind, minute, bucket
)
GROUP BY service_name, name, kind, minute;

CREATE MATERIALIZED VIEW spans_in_to_values TO attribute_values AS
SELECT toDate(received) AS day, 'span' AS signal, service_name, pair.1 AS key, pair.2 AS value, count() AS seen
FROM (SELECT received, service_name, arrayJoin(attributes) AS pair FROM spans_in WHERE cityHash64(span_id) % 128 = 0)
WHERE length(value) <= 256
GROUP BY day, service_name, key, value;
