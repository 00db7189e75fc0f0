# SPDX-License-Identifier: Apache-2.0
"""What L7 rules match, each beside what they do not."""

from __future__ import annotations

from typing import Any

Request = dict[str, Any]


def rule_of(type_: str, compare_type: str, value: str, key: str | None = None) -> dict[str, Any]:
    return {"type": type_, "compare_type": compare_type, "value": value, "key": key}


HOSTILE = "a \"b' #c %d %[src] ${HOME} \\e é日本 {} -i"

# the rule; a request that it matches; one that it does not
CASES: tuple[tuple[dict[str, Any], Request, Request], ...] = (
    (rule_of("HOST_NAME", "EQUAL_TO", "www.example.com"), {"host": "WWW.Example.com:8080"}, {"host": "www.example.comx"}),
    (rule_of("HOST_NAME", "EQUAL_TO", "www.example.com"), {"host": "www.example.com.:80"}, {"host": "www.example.com.x"}),
    (rule_of("HOST_NAME", "EQUAL_TO", "www.example.com."), {"host": "www.example.com"}, {"host": "www.example.co"}),
    (rule_of("HOST_NAME", "EQUAL_TO", "example.com:8080"), {"host": "example.com:8080"}, {"host": "example.com:80"}),
    (rule_of("HOST_NAME", "EQUAL_TO", "[fd00::1]"), {"host": "[FD00::1]:80"}, {"host": "[fd00::1:80]"}),
    (rule_of("HOST_NAME", "ENDS_WITH", ".com."), {"host": "example.com"}, {"host": "example.comm."}),
    (rule_of("HOST_NAME", "EQUAL_TO", "www.a.b"), {"path": "http://www.a.b/x", "host": None},
     {"path": "http://www.a.c/www.a.b", "host": None}),
    (rule_of("HOST_NAME", "EQUAL_TO", "www.a.b"), {"path": "HTTP://me@WWW.a.b:80", "host": None}, {"host": "x,www.a.b"}),
    (rule_of("PATH", "EQUAL_TO", "/"), {"path": "http://example.com"}, {"path": "http://example.com/y"}),
    (rule_of("HOST_NAME", "STARTS_WITH", "www."), {"host": "www.a"}, {"host": "wwwa"}),
    (rule_of("HOST_NAME", "STARTS_WITH", "api."), {"host": "api.example.com"}, {"host": "www.api.com"}),
    (rule_of("HOST_NAME", "ENDS_WITH", ".example.com"), {"host": "a.example.com:80"}, {"host": "a.example.com.evil"}),
    (rule_of("HOST_NAME", "CONTAINS", "exam"), {"host": "my.EXAMple"}, {"host": "my.org"}),
    (rule_of("HOST_NAME", "REGEX", r"^(a|b)\d+\.x$"), {"host": "B12.x"}, {"host": "c1.x"}),
    (rule_of("PATH", "EQUAL_TO", "/a"), {"path": "/a?x=/b"}, {"path": "/a/"}),
    (rule_of("PATH", "STARTS_WITH", "/admin"), {"path": "/%61dmin/x"}, {"path": "/x/admin"}),
    (rule_of("PATH", "ENDS_WITH", "/end"), {"path": "/x/end"}, {"path": "/end/x"}),
    (rule_of("PATH", "CONTAINS", "grüße #1"), {"path": "/x/gr%C3%BC%C3%9Fe%20%231/y"}, {"path": "/gru%C3%9Fe"}),
    (rule_of("PATH", "REGEX", r"^/v[12]/[a-z]{2,3}$"), {"path": "/v2/abc"}, {"path": "/v3/abc"}),
    (rule_of("FILE_TYPE", "EQUAL_TO", "jpg"), {"path": "/a.b/c.jpg?d.png"}, {"path": "/jpg"}),
    (rule_of("FILE_TYPE", "EQUAL_TO", "jpg"), {"path": "/x%2Ejpg"}, {"path": "/a.jpg/b"}),
    (rule_of("FILE_TYPE", "REGEX", "^(jpe?g|png)$"), {"path": "/a.tar.jpeg"}, {"path": "/png"}),
    (rule_of("FILE_TYPE", "REGEX", "png"), {"path": "/a.png"}, {"path": "/png.d/a"}),
    (rule_of("HEADER", "CONTAINS", " ", "X-A"), {"lines": ["X-A: a b"]}, {"lines": ["X-A:  ab "]}),
    (rule_of("HEADER", "STARTS_WITH", "a ", "X-A"), {"lines": ["X-A:  a b"]}, {"lines": ["X-A: a "]}),
    (rule_of("HEADER", "EQUAL_TO", "b", "X-A"), {"lines": ["x-a: a, b"]}, {"lines": ["X-A: B"]}),
    (rule_of("HEADER", "EQUAL_TO", "a, b", "X-A"), {"lines": ["X-A: a, b"]}, {"lines": ["X-A: a"]}),
    (rule_of("HEADER", "CONTAINS", HOSTILE, "X-A"), {"lines": [f"X-A: <{HOSTILE}>"]}, {"lines": ["X-A: a b' #c"]}),
    (rule_of("HEADER", "STARTS_WITH", "-f /etc/passwd", "!#$%&'*+-.^_`|~aZ9"),
     {"lines": ["!#$%&'*+-.^_`|~aZ9: -f /etc/passwd"]}, {}),
    (rule_of("HEADER", "REGEX", r'^"[^"]*\\\$"\s#%$', "X-A"), {"lines": ['X-A: "a\\$" #%']}, {"lines": ["X-A: a"]}),
    (rule_of("COOKIE", "EQUAL_TO", "1", "sid"), {"lines": ["Cookie: a=2; sid=1"]}, {"lines": ["Cookie: a=1; xsid=1"]}),
    (rule_of("HEADER", "ENDS_WITH", "end", "X-A"), {"lines": ["X-A: the end"]}, {"lines": ["X-A: end of it"]}),
    (rule_of("COOKIE", "STARTS_WITH", "ab", "sid"), {"lines": ["Cookie: sid=abc"]}, {"lines": ["Cookie: sid=cab; ab=1"]}),
    (rule_of("COOKIE", "CONTAINS", "b", "sid"), {"lines": ["Cookie: a=1; sid=abc"]}, {"lines": ["Cookie: sid=ac; b=b"]}),
    (rule_of("COOKIE", "ENDS_WITH", "#é", "!#$%&'*+-.^_`|~"), {"lines": ["Cookie: !#$%&'*+-.^_`|~=x#é"]}, {}),
    (rule_of("COOKIE", "REGEX", "^[0-9]+$", "n"), {"lines": ["Cookie: n=42"]}, {"lines": ["Cookie: n=4x"]}),
    (rule_of("COOKIE", "EQUAL_TO", "1,2", "n"), {"lines": ["Cookie: a=b,c; n=1,2"]}, {"lines": ["Cookie: n=1,2,3"]}),
    (rule_of("COOKIE", "EQUAL_TO", '"a', "n"), {"lines": ['Cookie: q="; n="a ; c=d"']}, {"lines": ['Cookie: n="a"']}),
    (rule_of("COOKIE", "EQUAL_TO", "2", "n"), {"lines": ["Cookie: n=1; n=2"]}, {"lines": ["Cookie: a=1,n=2; N=2; n; n=1"]}),
    (rule_of("COOKIE", "EQUAL_TO", "2", "n"), {"lines": ["Cookie: a=1", "Cookie: n=2"]}, {"lines": ["Cookie: ", "X-A: n=2"]}),
    (rule_of("COOKIE", "STARTS_WITH", "a,", "n"), {"lines": ["Cookie: n=a,b"]}, {"lines": ["Cookie: n=a; m=,"]}),
    (rule_of("COOKIE", "ENDS_WITH", ",b", "n"), {"lines": ["Cookie: n=a,b ; c=d"]}, {"lines": ["Cookie: n=,bc; m=,b"]}),
    (rule_of("COOKIE", "CONTAINS", "\\Q \\E\\", "n"), {"lines": [r"Cookie: n=a\Q \E\b"]}, {"lines": [r"Cookie: n=\Q; m= \E\b"]}),
    (rule_of("COOKIE", "REGEX", "^[0-9]*$", "n"), {"lines": ["Cookie: a=1,2", "Cookie: b=c;n="]}, {"lines": ["Cookie: a=1"]}),
    (rule_of("COOKIE", "REGEX", "^[0-9]*$", "n"), {"lines": ["Cookie: a=b; n=1 ; n=x"]}, {"lines": ["Cookie: n=1,2; n=1"]}),
    (rule_of("COOKIE", "REGEX", ".*", "n"), {"lines": ["Cookie: n="]}, {"lines": ["Cookie: n; m=; xn=1"]}),
    (rule_of("COOKIE", "REGEX", "(?i)^A|;$", "n"), {"lines": ["Cookie: n=ab"]}, {"lines": ["Cookie: a=b; n=ba;"]}),
    (rule_of("METHOD", "EQUAL_TO", "POST"), {"method": "POST", "lines": ["Content-Length: 0"]}, {"method": "GET"}),
    (rule_of("METHOD", "REGEX", "^(PUT|DELETE)$"), {"method": "DELETE"}, {"method": "GET"}),
    (rule_of("SOURCE_IP", "EQUAL_TO", "127.0.0.2"), {"source": "127.0.0.2"}, {"source": "127.0.0.3"}),
    (rule_of("SOURCE_IP", "EQUAL_TO", "127.0.1.0/24"), {"source": "127.0.1.77"}, {"source": "127.0.2.1"}),
)  # fmt: skip
