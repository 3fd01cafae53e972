"""Records as no decent sender makes them: JSON at its edges, and what is none."""

from __future__ import annotations

import json

from hypothesis import strategies as st

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "id", "ts", "", "é"]), inner),
    max_leaves=8,
)
_PIECES = st.sampled_from(
    [
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b" ",
            b"\t",
            b"\r",
            b"\0",
            b"1",
            b"-",
            b"e9",
            b".",
            b"null",
            b"true",
        ),
        *(
            b'"n":',
            b'"ts":',
            b"\\u",
            b"\\ud800",
            b"\xed\xa0\x80",
            b"\xff",
            b"\xc3",
            b"\xef\xbb\xbf",
            b"NaN",
            b"\xe2\x80\xa8",
        ),
    ]
)

EDGES = [
    b'{"n":1,"n":2}',
    b'{"n":"\\ud800"}',
    b'{"\\udfff":"\\udfff\\ud800"}',
    b'{"n":"\xed\xa0\x80"}',
    b'{"n":"\\u0000"}',
    b'{"n":"\0"}',
    b'{"n":1e999}',
    b'{"n":-1e-999}',
    b"1" * 400,
    b'{"n":' + b"9" * 5000 + b"}",
    b'{"n":0.' + b"1" * 5000 + b"}",
    b'{"n":123456789012345678901234567890}',
    b'{"__proto__":{"n":1},"constructor":1,"toString":2,"toJSON":3}',
    b'{"n":NaN}',
    b"Infinity",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\0}\0",
    b"\0",
    b"{} {}",
    b"[1",
    b'"\xe2\x80\xa8\xe2\x80\xa9"',
    b'{"n":{"n":{"n":[[[]]]}}}',
    b"[" * 200 + b"]" * 200,
    b"[" * 900 + b"]" * 900,
    b'{"n":' * 1500 + b"1" + b"}" * 1500,
    b"[" * 20_000 + b"]" * 20_000,
    b"[" * 100_000,
    b'"' + b"x" * 300_000 + b'"',
]
"""Each alone has broken some decoder, somewhere."""

JSON = _VALUES.map(lambda value: json.dumps(value).encode())
RECORDS = (
    JSON
    | st.lists(_PIECES, min_size=1, max_size=12).map(b"".join)
    | st.binary(min_size=1, max_size=12)
    | st.sampled_from(EDGES)
).map(lambda record: record.replace(b"\n", b" "))
"""Lines: records without a newline."""
