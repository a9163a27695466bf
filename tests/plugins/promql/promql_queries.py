"""Queries over ``promql_data``: some by hand, and as many as one likes at random."""

from __future__ import annotations

import random
import re

RANGE_FUNCTIONS = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
]
EXACT = ["abs", "ceil", "floor", "sqrt", "sgn", "deg", "rad"]
MATHS = [
    "exp",
    "ln",
    "log2",
    "log10",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
    "tanh",
]
DATES = [
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
]
AGGREGATIONS = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]

SELECTORS = """
requests_total | requests_total{job="api"} | requests_total{code!="200"}
requests_total{instance=~"0|1",code=~"2.."} | requests_total{job!~"a.*",code="500"}
temperature | temperature{instance="3"} | temperature{job="web"} | steps | steps{group="a"}
steps{even="0"} | steps{n=~"[0-4]"} | special | special{n="0"} | constant | linear
jitter | jitter_total | seldom | once | build_info | left | right | latency_bucket
latency_bucket{le="0.5"} | latency_count | latency_sum{path="/a"} | edge_bucket | text
many{shard="1"} | many{zone=~"x|y",shard!="0"} | nothing | {__name__=~"left|right"}
{__name__="linear"} | {job="api",code=""} | rule:ratio | {__name__=~"lat.*_count",path!=""}
""".replace("\n", "|")

SELECTOR_LIST = [one.strip() for one in SELECTORS.split("|") if one.strip()]
# A "|" within a pattern was cut above; these are whole.
SELECTOR_LIST = [one for one in SELECTOR_LIST if one.count('"') % 2 == 0 and (
    one.count("{") == one.count("}"))] + [
    'requests_total{instance=~"0|1",code=~"2.."}', 'many{zone=~"x|y",shard!="0"}',
    '{__name__=~"left|right"}', 'build_info{version=~"1|2"}',
]  # fmt: skip
LABELS = [
    "job",
    "instance",
    "code",
    "group",
    "n",
    "even",
    "shard",
    "zone",
    "version",
    "path",
    "le",
    "case",
    "kind",
    "x",
]


KEYWORD = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right|bool|offset|and|or|unless|atan2"
    rf"|start|end|topk|bottomk|quantile|count_values|{'|'.join(AGGREGATIONS)})\b(?=[ (])"
)


class Queries:
    """Random expressions, most of them sensible."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def expression(self, depth: int = 3) -> str:
        """One of them, now and then in another hand."""
        plain = self._plain(depth)
        return self._restyled(plain) if self._random.random() < 0.15 else plain

    def _restyled(self, text: str) -> str:
        """Keywords in capitals, line feeds, tabs and comments; strings as they are."""
        parts = re.split(r"""("[^"]*")""", text)
        parts[::2] = [
            re.sub(" ", lambda _: self._pick(" ", "\n", "\t", "  ", " # (\"\n"),
                   KEYWORD.sub(lambda word: self._pick(word[0], word[0].upper()), part))
            for part in parts[::2]
        ]  # fmt: skip
        return "".join(parts)

    def _plain(self, depth: int) -> str:
        pick = self._random.random()
        if pick < 0.07:
            return self._scalar(depth)
        inner = self._vector(depth)
        if pick > 0.9:
            # Go's mathematics differ from C's in the last digit; within a greater expression
            # that could become any difference.
            return self._pick(
                f"{self._random.choice(MATHS)}({inner})", f"({inner}) ^ {self._scalar(0)}",
                f"({inner}) atan2 {self._scalar(0)}", f"{self._scalar(0)} ^ ({inner})",
            )  # fmt: skip
        return inner

    def _pick(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _modifiers(self) -> str:
        out = ""
        r = self._random.random()
        if r < 0.08:
            away = self._pick("1m", "-1m", "7m", "90s", "-10s", "20m", "1h", "1m30s", "-500ms")
            out += f" offset {away}"
        if 0.05 < r < 0.1:
            at = f" @ {self._pick('start()', 'end()', 'AT', 'AT.5', 'ATe0', '0x6a25f000')}"
            out = self._pick(at + out, out + at)
        return out

    def _selector(self) -> str:
        return self._random.choice(SELECTOR_LIST)

    def _range(self) -> str:
        return self._pick(
            "30s", "1m", "2m", "5m", "5m", "10m", "15m", "1h", "20s", "75s", "1h30m", "2m500ms"
        )

    def _matrix(self, depth: int) -> str:
        if depth > 0 and self._random.random() < 0.2:
            step = self._pick("", "30s", "1m", "17s", "2m")
            inner = self._vector(depth - 1)
            inner = inner if self._random.random() < 0.2 else f"({inner})"
            return f"{inner}[{self._range()}:{step}]{self._modifiers()}"
        return f"{self._selector()}[{self._range()}]{self._modifiers()}"

    def _scalar(self, depth: int) -> str:
        pick = self._random.random()
        if depth <= 0 or pick < 0.45:
            return self._pick("0", "1", "2", "-1", "0.5", "10", "3.75", "1e3", "100", "NaN", "Inf",
                              "-Inf", "(time() % 99)", "pi()", "0x10")  # fmt: skip
        if pick < 0.7:
            return f"scalar({self._vector(depth - 1)})"
        if pick < 0.75:
            return f"-({self._scalar(depth - 1)})"
        op = self._pick("+", "-", "*", "/", "%", "== bool", "> bool", "<= bool")
        return f"({self._scalar(depth - 1)} {op} {self._scalar(depth - 1)})"

    def _labels(self) -> str:
        return ", ".join(self._random.sample(LABELS, self._random.randint(0, 3)))

    def _grouping(self) -> str:
        pick = self._random.random()
        if pick < 0.3:
            return ""
        return f" {'by' if pick < 0.7 else 'without'} ({self._labels()})"

    def _aggregation(self, depth: int) -> str:
        inner = self._vector(depth - 1)
        pick = self._random.random()
        if pick < 0.7:
            return f"{self._random.choice(AGGREGATIONS)}{self._grouping()} ({inner})"
        if pick < 0.82:
            k = self._pick("1", "2", "3", "5", "0", "-1", "100", self._scalar(0))
            distinct = self._pick(
                "temperature",
                "many",
                "sum by (shard) (many)",
                "many offset 1m",
                "jitter",
                "avg_over_time(many[2m])",
                'rate(jitter_total[5m]) or temperature{job="web"}',
            )  # which of two equal values is kept, nobody promises
            return f"{self._pick('topk', 'bottomk')}{self._grouping()} ({k}, {distinct})"
        if pick < 0.94:
            q = self._pick("0", "0.5", "0.9", "1", "0.99", "-1", "2", "NaN", "0.25")
            return f"quantile{self._grouping()} ({q}, {inner})"
        # Of values that are the same to the last digit.
        exact = self._selector() + self._modifiers()
        # Prometheus 2.42 loses labels that come after the new one in the alphabet.
        return f'count_values{self._grouping()} ("zz", {exact})'

    def _matching(self, many: bool = True) -> str:
        pick = self._random.random()
        if pick < 0.4:
            return ""
        out = f" {self._pick('on', 'ignoring')} ({self._labels()})"
        if many and self._random.random() < 0.4:
            out += f" {self._pick('group_left', 'group_right')} ({self._labels()})"
        return out

    def _binary(self, depth: int) -> str:
        left, right = self._vector(depth - 1), self._vector(depth - 1)
        pick = self._random.random()
        if pick < 0.25:
            return f"{left} {self._pick('and', 'or', 'unless')}{self._matching(False)} {right}"
        op = self._pick("+", "-", "*", "/", "%", "==", "!=", ">", "<", ">=", "<=",
                        "== bool", "> bool", "<= bool", "!= bool")  # fmt: skip
        if pick < 0.5:
            return f"({left}) {op} {self._scalar(depth - 1)}"
        if pick < 0.6:
            return f"{self._scalar(depth - 1)} {op} ({left})"
        return f"({left}) {op}{self._matching()} ({right})"

    def _call(self, depth: int) -> str:
        inner = self._vector(depth - 1)
        pick = self._random.random()
        if pick < 0.2:
            return f"{self._random.choice(EXACT)}({inner})"
        if pick < 0.27:
            return f"{self._random.choice(DATES)}({self._pick('', inner)})"
        if pick < 0.34:
            return self._pick(
                f"clamp({inner}, {self._scalar(0)}, {self._scalar(0)})",
                f"clamp_min({inner}, {self._scalar(1)})",
                f"clamp_max({inner}, {self._scalar(1)})",
            )
        if pick < 0.4:
            return self._pick(f"round({inner})", f"round({inner}, {self._scalar(0)})")
        if pick < 0.48:
            return f"histogram_quantile({self._scalar(0)}, {self._buckets(depth)})"
        if pick < 0.55:
            return self._pick(f"sort({inner})", f"sort_desc({inner})", f"timestamp(({inner}) * 2)",
                              f"timestamp({self._selector()} offset 1m)", f"absent({inner})",
                              f"-({inner})", f"-{inner}")  # fmt: skip
        if pick < 0.6:
            return f"vector({self._scalar(depth - 1)})"
        if pick < 0.7:
            label = self._random.choice(LABELS)
            return self._pick(
                f'label_replace({inner}, "{label}", "$1-x", "instance", "(.*)")',
                f'label_replace({inner}, "new", "${{1}}$2", "{label}", "(.)(.*)")',
                f'label_join({inner}, "joined", "-", "job", "{label}")',
            )
        if pick < 0.78:
            # Prometheus 2.42 moves a window that @ fixes, if another argument is not fixed.
            matrix = self._matrix(depth - 1).partition(" @")[0]
            return self._pick(
                f"quantile_over_time({self._scalar(0)}, {matrix})",
                f"predict_linear({matrix}, {self._scalar(0)})",
                f"holt_winters({matrix}, 0.{self._random.randint(1, 9)}, 0.3)",
            )
        return f"{self._random.choice(RANGE_FUNCTIONS)}({self._matrix(depth - 1)})"

    def _buckets(self, depth: int) -> str:
        return self._pick(
            "latency_bucket", "edge_bucket", "rate(latency_bucket[5m])",
            "sum by (le) (rate(latency_bucket[2m]))", "sum by (le, instance) (latency_bucket)",
            "edge_bucket offset 3m", self._vector(depth - 1),
        )  # fmt: skip

    def _vector(self, depth: int) -> str:
        pick = self._random.random()
        if depth <= 0 or pick < 0.12:
            return self._selector() + self._modifiers()
        if pick < 0.35:
            return self._aggregation(depth)
        if pick < 0.6:
            return self._binary(depth)
        return self._call(depth)


# AT stands for a time within the data, END for its end.
BY_HAND = r"""
1
-1
1 + 2 * 3 ^ 2 ^ 0.5
2 ^ -1
-2 ^ 2
10 % 3
-7 % 3
7.5 % -2
1 / 0
-1 / 0
0 / 0
1 == bool 1
NaN == bool NaN
NaN != bool NaN
Inf > bool 1
010
0x1F
.5
5.
1e-3
01e3
.5e+1
"a string"
'single \' quote'
`raw \n string`
"unicode \u00e9 \x41 \101"
time()
pi()
scalar(linear)
scalar(steps)
scalar(nothing)
vector(1)
vector(time())
vector(scalar(constant))
linear[1m]
requests_total{instance="2"}[2m]
temperature{instance="3",job="api"}[10m]
linear[5m] offset 1m
linear[5m] @ AT
linear[5m:]
linear[5m:30s]
linear[5m:30s] offset 10s
linear[5m:30s] @ AT
(linear)[5m:30s]
sum(linear)[5m:30s]
rate(requests_total[1m])[5m:1m]
(((linear)))
linear @ AT
linear @ AT offset 1m
linear offset 1m @ AT
linear @ 0
linear @ -10
linear @ 1e10
linear @ end()
linear @ start()
linear offset -1m
linear offset 2h
rate(linear[5m] @ end())
rate(linear[5m] @ start() offset -5m)
sum_over_time(linear[5m] offset -3m)
max_over_time(linear[5m:1m] @ end())
max_over_time((linear @ AT)[5m:1m])
max_over_time((linear @ start())[5m:1m] @ end())
sum_over_time((time())[5m:1m])
sum_over_time(vector(time())[5m:1m])
avg_over_time(rate(requests_total[2m])[10m:30s])
max_over_time(sum by (job) (rate(requests_total[1m]))[10m:])
max_over_time(max_over_time(linear[2m:10s] offset 1m)[5m:50s] offset 2m)
timestamp(linear)
timestamp(seldom)
timestamp((seldom))
timestamp(linear @ AT)
timestamp(abs(linear @ AT))
timestamp(linear offset 1m)
timestamp(timestamp(linear))
timestamp(-linear)
timestamp(vector(1))
timestamp(nothing)
timestamp(build_info)
predict_linear(linear[5m], 60)
predict_linear(linear[5m] offset 5m, 60)
predict_linear(jitter[10m], time() - AT)
predict_linear(constant[5m], 3600)
predict_linear(once[5m], 60)
deriv(linear[5m])
deriv(constant[5m])
deriv(constant{kind="infinite"}[5m])
deriv(odd[5m])
deriv(linear[5m] @ AT)
holt_winters(linear[5m], 0.5, 0.5)
holt_winters(jitter[10m], 0.01, 0.9)
holt_winters(linear[5m], 0, 0.5)
holt_winters(linear[5m], 0.5, 1)
holt_winters(linear[5m], NaN, 0.5)
holt_winters(nothing[5m], 0, 0.5)
holt_winters(once[1h], 0, 0.5)
quantile_over_time(0.5, odd[5m])
quantile_over_time(-0.1, linear[5m])
quantile_over_time(1.1, linear[5m])
quantile_over_time(NaN, linear[5m])
quantile_over_time(scalar(linear) / 100, temperature[5m])
quantile_over_time(0.3, temperature[10m])
stddev_over_time(odd[5m])
stdvar_over_time(odd[10m])
avg_over_time(odd[1m])
avg_over_time(odd[10m])
sum_over_time(odd[2m])
sum_over_time(odd{n="finite"}[5m])
avg_over_time(odd{n="finite"}[5m])
avg_over_time(constant[10m])
stddev_over_time(constant[10m])
max_over_time(temperature[10m])
min_over_time(odd[5m])
min_over_time(constant{kind="nan"}[5m])
count_over_time(temperature{instance="3"}[20m])
changes(odd[10m])
changes(constant[10m])
changes(steps[10m])
resets(steps[10m])
resets(requests_total[1h])
changes(requests_total[1h])
present_over_time(once[10m])
last_over_time(once[1h])
last_over_time(build_info[10m])
absent_over_time(once[1m])
absent_over_time(nothing{a="b",c=~"d"}[1m])
absent_over_time(once{a="b"}[5m])
absent_over_time(once[5m:1m])
absent_over_time(rate(nothing[5m])[5m:])
absent(nothing)
absent(nothing{job="a",instance!="b",code=~"c"})
absent(nothing{job="a",job="b",code="c"})
absent((nothing{job="a"}))
absent(sum(nothing{job="a"}))
absent(once)
absent(once{a="b"} offset 1m)
absent(nothing{job="a"} @ AT)
absent(linear)
absent(nothing{__name__="nothing"})
absent({__name__="nothing",job="x"})
absent(nothing{job=""})
rate(requests_total[30s])
rate(requests_total[20s])
rate(requests_total[1m])
rate(requests_total[1h])
increase(requests_total[5m])
increase(requests_total[5m] offset 2m)
increase(requests_total[5m] @ AT)
delta(temperature[5m])
delta(steps[5m])
idelta(steps[1m])
irate(requests_total[1m])
irate(requests_total[20m])
irate(jitter_total[5m])
rate(jitter_total[90s])
increase(jitter_total[3m])
rate(odd[5m])
delta(odd[5m])
rate(once[1h])
rate(linear[10y])
rate(build_info[10m])
rate({__name__=~"left|right"}[10m])
max_over_time({__name__=~"left|right"}[1h])
abs({__name__=~"left|right"})
-{__name__=~"left|right"}
-(left or right)
{__name__=~"left|right"} + 1
{__name__=~"left|right"} > 1
{__name__=~"left|right"} > bool 1
left or right
left and right
left unless right
left + right
right + on (x) left offset 45m
sum({__name__=~"left|right"})
last_over_time({__name__=~"left|right"}[5m])
label_replace({__name__=~"left|right"}, "__name__", "same", "", "")
label_replace(text, "dst", "$1", "src", "(.*)-1")
label_replace(text, "dst", "${1}x$$", "src", "(.*)-1")
label_replace(text, "dst", "$1x", "src", "(.*)-1")
label_replace(text, "dst", "$name", "src", "(?P<name>.*)-1")
label_replace(text, "dst", "$9 $0", "src", "(.*)-1")
label_replace(text, "dst", "$", "src", "(.*)-1")
label_replace(text, "value", "", "value", ".*")
label_replace(text, "src", "", "", "")
label_replace(text, "dst", "a", "src", "nomatch")
label_replace(text, "dst", "a", "missing", "")
label_replace(text, "dst", "a", "missing", ".+")
label_replace(text, "0bad", "a", "src", ".*")
label_replace(nothing, "0bad", "a", "src", ".*")
label_replace(text, "dst", "a", "src", "(")
label_replace(text, "dst", "$1", "src", "(?i)(PLAIN|A)-1")
label_replace(text, "__name__", "other", "src", ".*")
label_replace(steps, "n", "x", "n", ".*")
label_replace(steps, "n", "x", "n", "[01]")
label_replace(text, "dst", "$1", "src", "([[:alpha:]]+).*")
label_replace(text, "dst", "$1", "src", "(?s)(.*)-1")
label_join(text, "dst", "|", "value", "src", "missing")
label_join(text, "dst", "|")
label_join(text, "value", "")
label_join(text, "0bad", ",", "src")
label_join(text, "dst", ",", "0bad")
label_join(steps, "n", ",", "group")
label_join(nothing, "dst", ",", "a b")
text{value=~"a.b"}
text{value=~"(?i)PLAIN"}
text{value=~"(?i:plain)|with.*"}
text{value=~".*"}
text{value=~"line.feed"}
text{value=~"(?s)line.feed"}
text{value=~"line\\nfeed"}
text{value!~"line.feed"}
text{value=~"\\w+"}
text{value=~"[[:alpha:]]+"}
text{value=~"[[:^alpha:]]+"}
text{value=~"\\pL+"}
text{value=~"\\p{Greek}*"}
text{value=~"\\Qa.b\\E"}
text{value=~"pla\\x69n"}
text{value=~"plain\\z"}
text{value=~"\\Aplain"}
text{value=~"^plain$"}
text{value=~"plai(?=n)"}
text{value=~"(plain"}
text{value=~"a{1,2000}"}
text{value=~"pl(?P<x>ai)n"}
text{value=~"\\bplain\\b"}
text{value=~"(p)\\1"}
text{value=~"plain|"}
text{value=~""}
text{value!~""}
text{value!=""}
text{missing=""}
text{missing!~".+"}
text{missing=~"|x"}
text{value=~"pl{0,1}ain"}
text{value=~"x{"}
text{value=~"x{a}|plain"}
text{value="line\nfeed"}
text{value="quote\"d"}
text{value='quote"d'}
text{value=`back\slash`}
text{value="back\\slash"}
text{value=~`back\\slash|\w+`}
label_replace(text, "dst", `$1\n`, "src", `(\w+)-\d`)
text{value="\u00fcn\u00efcode"}
text{value=~".nïcode"}
{value=~".+",src=~"plain.*"}
{}
{job=~".*"}
{job=""}
{job!="x"}
{job=~".+"} and on () linear
{__name__=~".+",job="api",instance="0",code="200"}
{"linear"
linear{job="a" "b"}
steps == steps
steps == bool steps
steps != steps
steps > 1
1 < steps
1 < bool steps
1 == steps
steps == 1
steps + 1
1 - steps
steps / 0
steps % 2
steps ^ 2
-steps ^ 2
2 ^ steps
steps atan2 1
steps atan2 steps
steps * on (n) steps
steps * on (group) steps
steps * ignoring (n) steps
steps * on (group) group_left sum by (group) (steps)
sum by (group) (steps) * on (group) group_right steps
sum by (group) (steps) > on (group) group_right steps
sum by (group) (steps) > bool on (group) group_right steps
steps > on (group) group_left avg by (group) (steps)
steps > bool on (group) group_left avg by (group) (steps)
steps >= on (n) steps
steps >= bool on (n) steps
steps == on (n) group_left (even) steps
requests_total * on (instance) group_left (version) build_info
requests_total * on (instance) group_left (version) build_info{version="1"}
requests_total * on (instance) group_left (version, job) build_info
requests_total * on (instance) group_left (missing) build_info
requests_total + on (instance) build_info
build_info * on (instance) group_right (version) temperature{job="api"}
build_info * on (instance) group_right (version) temperature
temperature / ignoring (version) group_left build_info
sum by (job) (requests_total) / on (job) group_left sum by (job, code) (requests_total)
sum by (job) (requests_total) / on (job) group_right sum by (job, code) (requests_total)
steps + on () linear
steps + on () group_left linear
linear + on () group_right steps
steps and on (group) steps{n="0"}
steps and on () linear
steps and on () nothing
steps unless on (group) steps{n="0"}
steps unless on () nothing
steps or on (group) linear
steps{n="0"} or on (n) steps
nothing or steps
steps or nothing
nothing + steps
steps and ignoring (n, even) steps{group="a"}
build_info and on (instance) temperature{instance="1"}
(steps > 0) or (steps < 0)
steps > 0 or steps < 0 unless steps == 1
steps + steps * steps - steps
sum(steps)
sum by () (steps)
sum without () (steps)
sum by (missing) (steps)
sum by (__name__) ({__name__=~"left|right|linear"})
sum without (__name__) (steps)
count by (__name__) ({job="api"})
sum by (group, even) (steps)
sum by (even, group, even) (steps)
sum (steps) by (group)
sum without (n) (steps)
avg (odd)
avg (constant)
avg by (n) (odd)
sum (odd)
min (odd)
max (odd)
max (constant{kind="nan"})
min (temperature)
stddev (odd)
stdvar (constant)
stddev by (kind) (constant)
stdvar (temperature)
group (steps)
count (steps > 0)
count (nothing)
quantile (0.5, steps)
quantile (0.5, odd)
quantile (NaN, steps)
quantile (-1, steps)
quantile (2, steps)
quantile by (group) (0.3, steps)
quantile (scalar(linear) / 100, steps)
topk (3, temperature)
topk (0, steps)
topk (-1, steps)
topk (NaN, steps)
topk (Inf, steps)
topk (NaN, nothing)
topk (1e19, steps)
topk (2.9, many)
topk (scalar(steps{n="0"}), many)
bottomk (3, temperature)
topk by (group) (1, many)
topk by (shard) (2, many)
bottomk without (n) (1, many)
topk (100, many)
count_values ("v", steps)
count_values by (group) ("v", steps)
count_values by (v) ("v", steps)
count_values without (n) ("v", steps)
count_values without (n, v) ("v", steps)
count_values ("group", steps)
count_values by (group) ("group", steps)
count_values ("v", odd)
count_values ("v", temperature)
count_values ("v", linear)
count_values ("0bad", steps)
count_values ("0bad", nothing)
count_values ("v", constant)
sort (many)
sort_desc (many)
sort (temperature)
sort_desc (temperature)
sort (constant)
sort_desc (constant)
sort (sum by (shard) (many))
sort_desc (rate(requests_total[5m]))
sort (many) * 2
sort (nothing)
histogram_quantile(0.9, latency_bucket)
histogram_quantile(0.9, rate(latency_bucket[5m]))
histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))
histogram_quantile(0.9, sum by (le, path) (rate(latency_bucket[5m])))
histogram_quantile(0, latency_bucket)
histogram_quantile(1, latency_bucket)
histogram_quantile(-1, latency_bucket)
histogram_quantile(2, latency_bucket)
histogram_quantile(NaN, latency_bucket)
histogram_quantile(0.5, edge_bucket)
histogram_quantile(0.1, edge_bucket)
histogram_quantile(0.01, edge_bucket{case="negative"})
histogram_quantile(0.99, edge_bucket)
histogram_quantile(0.5, edge_bucket{case="falling"})
histogram_quantile(0.5, edge_bucket{case="twice"})
histogram_quantile(0.5, rate(edge_bucket[5m]))
histogram_quantile(2, edge_bucket)
histogram_quantile(0.5, linear)
histogram_quantile(0.5, nothing)
histogram_quantile(scalar(linear) / 100, latency_bucket)
histogram_quantile(0.5, odd)
histogram_quantile(0.5, label_replace(odd, "le", "$1", "n", "(.*)"))
histogram_quantile(0.5, label_replace(odd{n!="3"}, "le", "$1", "n", "(.*)") or LAST)
histogram_count(latency_bucket)
histogram_sum(latency_bucket)
histogram_fraction(0, 1, latency_bucket)
round(temperature)
round(temperature, 5)
round(temperature, 0)
round(temperature, -2)
round(odd)
round(odd, 0.1)
round(steps, scalar(linear))
clamp(temperature, 40, 60)
clamp(temperature, 60, 40)
clamp(odd, -1, 1)
clamp(odd, -Inf, Inf)
clamp(odd, NaN, 1)
clamp(odd, 0, NaN)
clamp(steps, scalar(steps{n="0"}), scalar(steps{n="1"}))
clamp_min(odd, 0)
clamp_max(odd, 0)
clamp_min(odd, NaN)
clamp_max(odd, NaN)
clamp_min(odd, Inf)
clamp_max(odd, -Inf)
exp(odd)
ln(odd)
log2(odd)
log10(steps)
sqrt(odd)
sgn(odd)
abs(odd)
ceil(odd)
floor(temperature)
odd ^ 2
odd % 2
2 % odd
odd ^ odd
odd / odd
odd - odd
odd * 0
odd == odd
odd < Inf
odd >= bool 0
minute()
hour()
month(vector(0))
day_of_month(vector(951782400))
day_of_week(linear * 86400)
day_of_year(linear * 86400 * 10)
days_in_month(linear * 86400 * 30)
year(odd)
month(odd)
hour(odd)
day_of_year(odd)
days_in_month(steps * -1e9)
minute(vector(-61))
year(vector(-1))
month(vector(1e18))
day_of_week(nothing)
# a comment
linear # a comment after
sum by (job) (requests_total) # { "
"""

# Which of equal values is kept, nobody promises.
TIES = r"""
topk (3, steps)
bottomk (3, steps)
topk by (group) (2, steps)
topk (3, constant)
bottomk (2, constant)
topk (1, build_info)
bottomk (2, count by (zone) (many))
"""

# What Prometheus refuses, at parsing or at evaluation.
REFUSED = r"""
(
sum(
foo bar
rate(linear)
abs()
abs(linear, linear)
linear[5m
1 > 2
linear and 1
sum("a")
foo(linear)
linear[0s]
linear offset
linear + group_left linear
linear and group_left linear
count_values(linear)
topk(linear)
topk("a", linear)
linear[5m] + 1
-"a"
"a" + 1
linear[5m][5m:]
(linear)[5m]
label_replace(linear, "a", "b", "c")
linear @ 1 @ 2
linear offset 1m offset 2m
linear[5m:0s]
linear + on (x) group_left (x) linear
linear{,}
linear{__name__="y"}
sum by a (linear)
bool 1
linear bool linear
!linear
linear =~ linear
1.2.3
linear["5m"]
sum(linear, linear)
quantile(linear)
time(1)
vector(linear)
scalar(1)
-linear[5m]
1 and 2
linear or on (a) group_left linear
histogram_quantile(0.9)
days_in_month(linear, linear)
linear{a=1}
linear{a='b}
linear[5m:5m
linear[:5m]
sort(1)
sum_over_time(1)
1 + on (x) 2
linear + on (x) 1
1 on (x) + linear
linear @ NaN
linear @ Inf
linear @ -Inf
linear @ foo
linear @ start
linear @ 5m
1e400
linear @ 1 - linear @ 1m
linear @ 1_0
linear @ linear
(1)[5m:]
"a"[5m:]
time()[5m:]
linear[5m] offset 5m offset 1m
linear[5m:] @ 1 @ 2
sum(linear[5m])
topk(2, linear[5m])
quantile("0.5", linear)
count_values(1, linear)
absent(1)
absent("a")
label_join(linear)
label_join(linear, "a")
label_join(linear, 1, 2)
label_replace(1, "a", "b", "c", "d")
clamp(linear, 1)
clamp(linear, linear, 1)
round(linear, linear)
predict_linear(linear[5m])
holt_winters(linear[5m], 0.1)
holt_winters(linear, 0.1, 0.1)
histogram_quantile(linear, linear)
sum by (0bad) (linear)
sum without (a,,b) (linear)
steps * on (group steps
steps == on (n) == steps
linear == bool == linear
linear{a="b"}{c="d"}
1 == 1
1 atan2
^ 2
linear offset -
linear[5m1h]
linear[5m5m]
linear[-5m]
linear[1.5m]
"unterminated
'mixed"
`raw
"bad escape \q"
linear{a="\q"}
"""


PIECES = (
    """
 |(|)|[|]|{|}|@|-|+|=~|!~|"|'|`|\\|,|offset 5m|by|on|bool|or|and|NaN|5m|1h30m|1e3|:|#|==|=|!=|0x1f
[5m]|@ 100|sum|group_left|ignoring(n)|1_000|5|steps|'a'|"b"|a='b'
""".strip("\n")
    .replace("\n", "|")
    .split("|")
)


def damaged(texts: list[str], seed: int) -> str:
    """One of ``texts`` with a piece or two cut out, put in or replaced."""
    pick = random.Random(seed)
    text = pick.choice(texts)
    for _ in range(pick.randint(1, 2)):
        a = pick.randint(0, len(text))
        b = min(len(text), a + pick.choice([0, 0, 1, 1, 2, 4]))
        text = text[:a] + pick.choice(["", "", *PIECES]) + text[b:]
    return text


def by_hand(text: str, at_ms: int) -> list[str]:
    """The lines of ``text``, with ``AT`` filled in."""
    lines = [line for line in text.splitlines() if line.strip()]
    last = 'label_replace(odd{n="3"}, "le", "Inf", "", "")'
    lines = [line.replace("LAST", last) for line in lines]
    return [line.replace("AT", f"{at_ms // 1000}") for line in lines]
