-- What telemetry comes from. Each batch adds its distinct resources and scopes; merges leave one row of each a day.
CREATE TABLE resources
(
    received DateTime CODEC(Delta, ZSTD(1)),
    resource_id UInt64,
    service_name LowCardinality(String),
    attributes $attributes,
    dropped_attributes_count UInt32,
    entity_refs Array(String),
    schema_url LowCardinality(String)
)
ENGINE = $ReplacingMergeTree PARTITION BY toDate(received) ORDER BY (service_name, resource_id);

CREATE TABLE scopes
(
    received DateTime CODEC(Delta, ZSTD(1)),
    scope_id UInt64,
    name LowCardinality(String),
    version LowCardinality(String),
    attributes $attributes,
    dropped_attributes_count UInt32,
    schema_url LowCardinality(String)
)
ENGINE = $ReplacingMergeTree PARTITION BY toDate(received) ORDER BY scope_id;

-- Keys and values seen in attributes, for auto-completion: every resource, and a sample of spans and log records.
CREATE TABLE attribute_values
(
    day Date,
    signal Enum8('resource' = 1, 'span' = 2, 'log' = 3),
    service_name LowCardinality(String),
    key LowCardinality(String),
    value String,
    seen SimpleAggregateFunction(sum, UInt64)
)
ENGINE = $AggregatingMergeTree PARTITION BY day ORDER BY (signal, key, service_name, value);

CREATE MATERIALIZED VIEW resources_to_values TO attribute_values AS
SELECT toDate(received) AS day, 'resource' AS signal, service_name, pair.1 AS key, pair.2 AS value, count() AS seen
FROM (SELECT received, service_name, arrayJoin(attributes) AS pair FROM resources)
WHERE length(value) <= 256
GROUP BY day, service_name, key, value;
