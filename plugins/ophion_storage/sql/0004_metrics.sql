-- Whole requests come in here, one that has metrics of several kinds by several tables.
CREATE TABLE otlp_numbers ($otlp_numbers) ENGINE = Null;

CREATE TABLE otlp_histograms ($otlp_histograms) ENGINE = Null;

CREATE TABLE otlp_exponential_histograms ($otlp_exponential_histograms) ENGINE = Null;

CREATE TABLE otlp_summaries ($otlp_summaries) ENGINE = Null;

CREATE TABLE numbers_metrics_in (resource_id UInt64, scope_id UInt64, m $number_metric) ENGINE = Null;

CREATE TABLE numbers_in
(
    received DateTime, stream_id UInt64, $stream_columns, attributes $attributes, $time_columns,
    kind Enum8('none' = 0, 'double' = 4, 'int' = 6), value Float64, int_value Int64, exemplars $exemplars
)
ENGINE = Null;

CREATE TABLE histograms_in
(
    received DateTime, stream_id UInt64, $stream_columns, attributes $attributes, $time_columns, $histogram_columns,
    exemplars $exemplars
)
ENGINE = Null;

CREATE TABLE exponential_histograms_in
(
    received DateTime, stream_id UInt64, $stream_columns, attributes $attributes, $time_columns, $exponential_columns,
    exemplars $exemplars
)
ENGINE = Null;

CREATE TABLE summaries_in
(
    received DateTime, stream_id UInt64, $stream_columns, attributes $attributes, $time_columns, $summary_columns
)
ENGINE = Null;

-- One row per point of a series. The points of gauges and sums are kept as they came; those of histograms and summaries
-- are in their own tables, and the series that PromQL knows of them (`_bucket`, `_count`, `_sum`, quantiles) are
-- derived into this one.
CREATE TABLE samples
(
    received DateTime CODEC(Delta, LZ4),
    series_id UInt64,
    time DateTime64(9, 'UTC') CODEC(Delta, LZ4),
    value Float64,
    int_value Int64,
    kind Enum8('none' = 0, 'derived' = 1, 'remote' = 2, 'double' = 4, 'int' = 6),
    start_time DateTime64(9, 'UTC') CODEC(Delta, LZ4),
    flags UInt32
)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (series_id, time);

CREATE TABLE histograms (received DateTime CODEC(Delta, LZ4), stream_id UInt64, $time_columns, $histogram_columns)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (stream_id, time);

CREATE TABLE exponential_histograms
(
    received DateTime CODEC(Delta, LZ4), stream_id UInt64, $time_columns, $exponential_columns
)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (stream_id, time);

CREATE TABLE summaries (received DateTime CODEC(Delta, LZ4), stream_id UInt64, $time_columns, $summary_columns)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (stream_id, time);

-- `point` is the hash of what tells one point of a stream from another; see the points in schema.py.
CREATE TABLE exemplars
(
    received DateTime CODEC(Delta, LZ4),
    stream_id UInt64,
    point_time DateTime64(9, 'UTC'),
    point UInt64,
    number UInt32,
    time DateTime64(9, 'UTC'),
    kind Enum8('none' = 0, 'double' = 3, 'int' = 6),
    value Float64,
    int_value Int64,
    trace_id String,
    span_id String,
    filtered_attributes $attributes,
    INDEX traces trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (stream_id, point_time);

-- What a stream of points is, as its sender says it. A stream has a row per day on which it was first seen, and more
-- while its series are not known yet.
CREATE TABLE streams
(
    received DateTime CODEC(Delta, LZ4),
    stream_id UInt64,
    $stream_columns,
    attributes $attributes,
    bounds Array(Float64)
)
ENGINE = $MergeTree PARTITION BY toDate(received) ORDER BY (received, stream_id);

-- Streams whose series of today are known; kept by the server, in memory of the engine.
CREATE TABLE seen_streams (id UInt64) ENGINE = Set;

-- What PromQL knows of a stream: one row per series and day on which it had samples.
CREATE TABLE series
(
    day Date,
    series_id UInt64,
    metric_name LowCardinality(String),
    labels $attributes,
    kind LowCardinality(String),
    unit LowCardinality(String),
    help String,
    stream_id UInt64,
    resource_id UInt64
)
ENGINE = $ReplacingMergeTree PARTITION BY day ORDER BY (metric_name, series_id);

CREATE MATERIALIZED VIEW otlp_to_numbers_metrics_in TO numbers_metrics_in AS $metrics_of_number;

CREATE MATERIALIZED VIEW gauges_to_numbers_in TO numbers_in AS $gauges;

CREATE MATERIALIZED VIEW sums_to_numbers_in TO numbers_in AS $sums;

CREATE MATERIALIZED VIEW otlp_to_histograms_in TO histograms_in AS
SELECT
    now() AS received, cityHash64(metric_id, p.attributes, p.explicit_bounds) AS stream_id, $stream_names,
    p.attributes AS attributes, $times, p.count AS count, p.sum AS sum, p.bucket_counts AS bucket_counts,
    p.explicit_bounds AS explicit_bounds, p.min AS min, p.max AS max, p.exemplars AS exemplars
FROM
(
    SELECT
        $metric_names, 'histogram' AS type, m.histogram.aggregation_temporality AS temporality, false AS monotonic,
        $metric_id, arrayJoin(m.histogram.data_points) AS p
    FROM ($metrics_of_histogram)
);

CREATE MATERIALIZED VIEW otlp_to_exponential_in TO exponential_histograms_in AS
SELECT
    now() AS received, cityHash64(metric_id, p.attributes) AS stream_id, $stream_names,
    p.attributes AS attributes, $times, p.count AS count, p.sum AS sum, p.scale AS scale, p.zero_count AS zero_count,
    p.zero_threshold AS zero_threshold, p.positive AS positive, p.negative AS negative, p.min AS min, p.max AS max,
    p.exemplars AS exemplars
FROM
(
    SELECT
        $metric_names, 'exponential_histogram' AS type, m.exponential_histogram.aggregation_temporality AS temporality,
        false AS monotonic, $metric_id, arrayJoin(m.exponential_histogram.data_points) AS p
    FROM ($metrics_of_exponential_histogram)
);

CREATE MATERIALIZED VIEW otlp_to_summaries_in TO summaries_in AS
SELECT
    now() AS received, cityHash64(metric_id, p.attributes, p.quantile_values.quantile) AS stream_id, $stream_names,
    p.attributes AS attributes, $times, p.count AS count, p.sum AS sum, p.quantile_values AS quantile_values
FROM
(
    SELECT
        $metric_names, 'summary' AS type, 0 AS temporality, false AS monotonic, $metric_id,
        arrayJoin(m.summary.data_points) AS p
    FROM ($metrics_of_summary)
);

CREATE MATERIALIZED VIEW numbers_in_to_samples TO samples AS
SELECT
    received, stream_id AS series_id, time, CAST(kind, 'Int8') AS kind, start_time, flags,
    -- A point that says it has no value ends its series, which Prometheus writes as one certain NaN. Should it have a
    -- value all the same, its bits are kept in `int_value`.
    if(bitAnd(flags, 1) = 1, reinterpretAsFloat64(toUInt64(9218868437227405314)), numbers_in.value) AS value,
    if(
        bitAnd(flags, 1) = 1 AND numbers_in.kind = 'double', reinterpretAsInt64(numbers_in.value), numbers_in.int_value
    ) AS int_value
FROM numbers_in;

CREATE MATERIALIZED VIEW histograms_in_to_histograms TO histograms AS
SELECT
    received, stream_id, start_time, time, flags, count, sum, bucket_counts, explicit_bounds, min, max
FROM histograms_in;

CREATE MATERIALIZED VIEW exponential_in_to_exponential TO exponential_histograms AS
SELECT
    received, stream_id, start_time, time, flags, count, sum, scale, zero_count, zero_threshold, positive, negative,
    min, max
FROM exponential_histograms_in;

CREATE MATERIALIZED VIEW summaries_in_to_summaries TO summaries AS
SELECT received, stream_id, start_time, time, flags, count, sum, quantile_values FROM summaries_in;

CREATE MATERIALIZED VIEW histograms_in_to_samples TO samples AS
SELECT
    received, part.1 AS series_id, time, 'derived' AS kind, 0 AS int_value, start_time, flags,
    if(bitAnd(flags, 1) = 1, reinterpretAsFloat64(toUInt64(9218868437227405314)), part.2) AS value
FROM
(
    SELECT
        received, time, start_time, flags,
        arrayJoin(arrayConcat(
            [(cityHash64(stream_id, 'count', 0.), toFloat64(count))],
            if(isNull(sum), [], [(cityHash64(stream_id, 'sum', 0.), assumeNotNull(sum))]),
            if(
                empty(bucket_counts),
                [(cityHash64(stream_id, 'bucket', inf), toFloat64(count))],
                arrayMap(
                    (bound, n) -> (cityHash64(stream_id, 'bucket', bound), toFloat64(n)),
                    arrayResize(arrayPushBack(explicit_bounds, inf), length(bucket_counts), inf),
                    arrayCumSum(bucket_counts)
                )
            )
        )) AS part
    FROM histograms_in
);

CREATE MATERIALIZED VIEW exponential_in_to_samples TO samples AS
SELECT
    received, part.1 AS series_id, time, 'derived' AS kind, 0 AS int_value, start_time, flags,
    if(bitAnd(flags, 1) = 1, reinterpretAsFloat64(toUInt64(9218868437227405314)), part.2) AS value
FROM
(
    SELECT
        received, time, start_time, flags,
        arrayJoin(arrayConcat(
            [(cityHash64(stream_id, 'count', 0.), toFloat64(count))],
            if(isNull(sum), [], [(cityHash64(stream_id, 'sum', 0.), assumeNotNull(sum))])
        )) AS part
    FROM exponential_histograms_in
);

CREATE MATERIALIZED VIEW summaries_in_to_samples TO samples AS
SELECT
    received, part.1 AS series_id, time, 'derived' AS kind, 0 AS int_value, start_time, flags,
    if(bitAnd(flags, 1) = 1, reinterpretAsFloat64(toUInt64(9218868437227405314)), part.2) AS value
FROM
(
    SELECT
        received, time, start_time, flags,
        arrayJoin(arrayConcat(
            [(cityHash64(stream_id, 'count', 0.), toFloat64(count)), (cityHash64(stream_id, 'sum', 0.), sum)],
            arrayMap(q -> (cityHash64(stream_id, 'quantile', q.quantile), q.value), quantile_values)
        )) AS part
    FROM summaries_in
);

CREATE MATERIALIZED VIEW numbers_in_to_streams TO streams AS
SELECT received, stream_id, $stream_names, attributes, CAST([], 'Array(Float64)') AS bounds
FROM numbers_in
WHERE cityHash64(toDate(received), stream_id) NOT IN seen_streams;

CREATE MATERIALIZED VIEW histograms_in_to_streams TO streams AS
SELECT received, stream_id, $stream_names, attributes, explicit_bounds AS bounds
FROM histograms_in
WHERE cityHash64(toDate(received), stream_id) NOT IN seen_streams;

CREATE MATERIALIZED VIEW exponential_in_to_streams TO streams AS
SELECT received, stream_id, $stream_names, attributes, CAST([], 'Array(Float64)') AS bounds
FROM exponential_histograms_in
WHERE cityHash64(toDate(received), stream_id) NOT IN seen_streams;

CREATE MATERIALIZED VIEW summaries_in_to_streams TO streams AS
SELECT received, stream_id, $stream_names, attributes, quantile_values.quantile AS bounds
FROM summaries_in
WHERE cityHash64(toDate(received), stream_id) NOT IN seen_streams;

CREATE MATERIALIZED VIEW numbers_in_to_exemplars TO exemplars AS
SELECT $exemplar_names, $number_point AS point FROM numbers_in AS p ARRAY JOIN exemplars AS e, arrayEnumerate(exemplars) AS number;

CREATE MATERIALIZED VIEW histograms_in_to_exemplars TO exemplars AS
SELECT $exemplar_names, $histogram_point AS point FROM histograms_in AS p ARRAY JOIN exemplars AS e, arrayEnumerate(exemplars) AS number;

CREATE MATERIALIZED VIEW exponential_in_to_exemplars TO exemplars AS
SELECT $exemplar_names, $exponential_point AS point
FROM exponential_histograms_in AS p ARRAY JOIN exemplars AS e, arrayEnumerate(exemplars) AS number;
