import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.batch import Logs, Metrics, Traces
from ophion_agent.errors import PermanentError
from ophion_agent.records import decode_record, encode_record, record_facts
from ophion_agent.testing import make_logs, make_traces

METADATA = st.dictionaries(st.text(min_size=1), st.lists(st.text(), max_size=3).map(tuple), max_size=3)


@given(st.sampled_from([Traces, Metrics, Logs]), st.binary(), st.integers(0, 2**32 - 1), METADATA)
def test_a_batch_comes_back_as_it_was(
    signal: type[Traces], payload: bytes, count: int, metadata: dict[str, tuple[str, ...]]
) -> None:
    again = decode_record(encode_record(signal.trusted(payload, count, metadata)))
    assert (type(again), again.payload, len(again)) == (signal, payload, count)
    assert dict(again.metadata) == metadata


def test_facts_come_back_beside_the_metadata() -> None:
    record = encode_record(make_traces(1), reason="no", refused_unix_nano=7)
    assert record_facts(record) == {"reason": "no", "refused_unix_nano": 7}
    assert record_facts(encode_record(make_logs(1))) == {}


@pytest.mark.parametrize(
    "record",
    [b"", b"\x01", b"\x02" + bytes(20), b"\x01\x09" + bytes(20), b"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x05{bad}"],
    ids=["empty", "short", "other version", "unknown signal", "bad facts"],
)
def test_a_record_that_cannot_be_read_is_refused_for_good(record: bytes) -> None:
    with pytest.raises(PermanentError, match=f"queue record of {len(record)} bytes: cannot be read"):
        decode_record(record)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(record: bytes) -> None:
    try:
        decode_record(record)
    except PermanentError:
        return
