from ophion_agent.hints import closest, nearest


def test_names_the_nearest_and_lists_all_valid_names() -> None:
    assert (
        nearest("timout", ["timeout", "send_batch_size"]) == 'did you mean "timeout"? valid: send_batch_size, timeout'
    )


def test_only_lists_when_nothing_is_near() -> None:
    assert nearest("kafka", ["otlp", "debug"]) == "valid: debug, otlp"


def test_says_so_when_nothing_is_valid() -> None:
    assert nearest("otlp", []) == "valid: none"


def test_ignores_case_and_dashes() -> None:
    assert closest("Send-Batch-Size", ["send_batch_size", "timeout"]) == "send_batch_size"
