CREATE TABLE otlp_logs ($otlp_logs) ENGINE = Null;

-- `body` is the text of a string, and the encoded AnyValue of anything else (`is_text` tells which). `time` is the time
-- at which the record was observed, or else received, where it has none of its own (`has_time`).
CREATE TABLE logs
(
    received DateTime CODEC(Delta, ZSTD(1)),
    service_name LowCardinality(String),
    resource_id UInt64,
    scope_id UInt64,
    time DateTime64(9, 'UTC'),
    has_time Bool,
    observed_time DateTime64(9, 'UTC'),
    severity_number Int32,
    severity_text LowCardinality(String),
    body String,
    is_text Bool,
    attributes $attributes,
    dropped_attributes_count UInt32,
    flags UInt32,
    trace_id String,
    span_id String,
    event_name LowCardinality(String),
    INDEX time_range time TYPE minmax GRANULARITY 1,
    INDEX words body TYPE text(tokenizer = 'splitByNonAlpha', preprocessor = lower(body)),
    INDEX traces trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (service_name, time);

CREATE MATERIALIZED VIEW otlp_to_logs TO logs AS
WITH
    -- An encoded string is 0x0A, its length as a varint, and its bytes.
    length(r.body) AS n,
    multiIf(
        n < 130, concat('\x0A', char(n - 2)),
        n < 16387, concat('\x0A', char(bitOr(bitAnd(n - 3, 127), 128), bitShiftRight(n - 3, 7))),
        n < 2097156, concat('\x0A', char(
            bitOr(bitAnd(n - 4, 127), 128), bitOr(bitAnd(bitShiftRight(n - 4, 7), 127), 128), bitShiftRight(n - 4, 14)
        )),
        concat('\x0A', char(
            bitOr(bitAnd(n - 5, 127), 128), bitOr(bitAnd(bitShiftRight(n - 5, 7), 127), 128),
            bitOr(bitAnd(bitShiftRight(n - 5, 14), 127), 128), bitShiftRight(n - 5, 21)
        ))
    ) AS head
SELECT
    now() AS received, service_name, resource_id, scope_id,
    multiIf(
        r.time_unix_nano != 0, fromUnixTimestamp64Nano(reinterpretAsInt64(r.time_unix_nano), 'UTC'),
        r.observed_time_unix_nano != 0, fromUnixTimestamp64Nano(reinterpretAsInt64(r.observed_time_unix_nano), 'UTC'),
        toDateTime64(received, 9, 'UTC')
    ) AS time,
    r.time_unix_nano != 0 AS has_time,
    fromUnixTimestamp64Nano(reinterpretAsInt64(r.observed_time_unix_nano), 'UTC') AS observed_time,
    r.severity_number AS severity_number, r.severity_text AS severity_text,
    n > 1 AND startsWith(r.body, head) AS is_text,
    if(is_text, substring(r.body, 1 + length(head)), r.body) AS body,
    r.attributes AS attributes, r.dropped_attributes_count AS dropped_attributes_count, r.flags AS flags,
    r.trace_id AS trace_id, r.span_id AS span_id, r.event_name AS event_name
FROM
(
    SELECT arrayJoin(ss.log_records) AS r, service_name, resource_id, cityHash64(ss.scope, ss.schema_url) AS scope_id
    FROM
    (
        SELECT
            arrayJoin(rs.scope_logs) AS ss, cityHash64(rs.resource, rs.schema_url) AS resource_id,
            $service_name AS service_name
        FROM (SELECT arrayJoin(resource_logs) AS rs FROM otlp_logs)
    )
);

CREATE MATERIALIZED VIEW logs_to_values TO attribute_values AS
SELECT toDate(received) AS day, 'log' AS signal, service_name, pair.1 AS key, pair.2 AS value, count() AS seen
FROM
(
    SELECT received, service_name, arrayJoin(attributes) AS pair FROM logs
    WHERE cityHash64(time, body) % 128 = 0
)
WHERE length(value) <= 256
GROUP BY day, service_name, key, value;
