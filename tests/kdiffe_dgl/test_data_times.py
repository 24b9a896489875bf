"""Times of interactions: what the standard library reads of ISO 8601, a table reads alike."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdiffe_dgl.data.readers.tabular import read_tabular
from kdiffe_dgl.data.readers.times import seconds_of_iso
from kdiffe_dgl.errors import InputError

ZONES = st.one_of(
    st.none(),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
TIMES = st.datetimes(datetime(1000, 1, 2), datetime(2999, 12, 30), timezones=ZONES)
SPECS = ("hours", "minutes", "seconds", "milliseconds", "microseconds")


@given(st.lists(st.tuples(TIMES, st.sampled_from(SPECS[1:]), st.sampled_from("T t")), min_size=1))
def test_times_are_those_of_the_standard_library(drawn: list[tuple[datetime, str, str]]) -> None:
    texts = [time.isoformat(separator, spec) for time, spec, separator in drawn]
    zoned = [datetime.fromisoformat(text.replace("t", "T")) for text in texts]
    zoned = [time if time.tzinfo else time.replace(tzinfo=timezone.utc) for time in zoned]
    expected = [(time - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1) for time in zoned]
    assert seconds_of_iso(pl.Series(texts)).to_list() == expected


@pytest.mark.parametrize("text", ["2020-02-30", "2020-01-01T25:00", "2020-01-01 10:61", "20200101"])
def test_what_no_calendar_has_is_null(text: str) -> None:
    assert seconds_of_iso(pl.Series([text, "1970-01-01"])).to_list() == [None, 0]


def write(folder: Path, *times: str) -> Path:
    path = folder / "log.csv"
    rows = [f"u,i{number},{time}" for number, time in enumerate(times)]
    path.write_text("\n".join(["user,item,when", *rows, ""]), encoding="utf-8")
    return path


def test_a_table_with_dates(tmp_path: Path) -> None:
    path = write(tmp_path, "2020-01-31", " 2020-01-31 10:30 ", "2020-01-31T10:30:00.5Z", "")
    dataset = read_tabular(path, timestamp_column="when")
    days = 1_580_428_800
    by_item = dict(
        zip(
            dataset.items["id"].gather(dataset.interactions["item"]),
            dataset.interactions["timestamp"],
            strict=True,
        )
    )
    assert by_item == {"i0": days, "i1": days + 37_800, "i2": days + 37_800, "i3": None}


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (("2020-01-31", "yesterday"), "line 3: when is 'yesterday'; expected a time such as 2020-01-31 or"),
        (("2020-01-31", "1580428800"), "line 3: when is '1580428800'; expected a time such as 2020-01-31 or"),
        (("1580428800", "2020-01-31"), "line 3: when is '2020-01-31'; expected a number"),
    ],
)
def test_times_of_one_kind(tmp_path: Path, times: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_tabular(write(tmp_path, *times), timestamp_column="when")
