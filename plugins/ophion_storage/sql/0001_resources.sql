-- What telemetry comes from: a row of each resource and scope per day on which it sent anything.
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

-- Requests of any signal without their items come in here: only resources and scopes that are new to the server today.
CREATE TABLE otlp_origins ($otlp_origins) ENGINE = Null;

CREATE MATERIALIZED VIEW otlp_to_resources TO resources AS
SELECT DISTINCT
    now() AS received, cityHash64(r.resource, r.schema_url) AS resource_id, $resource_service_name AS service_name,
    r.resource.attributes AS attributes, r.resource.dropped_attributes_count AS dropped_attributes_count,
    r.resource.entity_refs AS entity_refs, r.schema_url AS schema_url
FROM (SELECT arrayJoin(groups) AS r FROM otlp_origins);

CREATE MATERIALIZED VIEW otlp_to_scopes TO scopes AS
SELECT DISTINCT
    now() AS received, cityHash64(s.scope, s.schema_url) AS scope_id, s.scope.name AS name, s.scope.version AS version,
    s.scope.attributes AS attributes, s.scope.dropped_attributes_count AS dropped_attributes_count,
    s.schema_url AS schema_url
FROM (SELECT arrayJoin(arrayJoin(groups).scopes) AS s FROM otlp_origins);

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
