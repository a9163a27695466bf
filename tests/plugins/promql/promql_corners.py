"""More queries for both: corners of the syntax, and of what expressions mean."""

from __future__ import annotations

# Strings, numbers, keywords as names, letter case, comments, durations, precedence; and what is
# none of these, which both must refuse.
SYNTAX = r"""
"\a\b\f\n\r\t\v\\\""
'\'"'
"\xff"
"\xc3\xa9"
"\377"
"\303\251"
"\U0001F600"
"\u0000"
"tab	inside"
""
text{value="\x70lain"}
text{value=~"\x70lain"}
text{value="\303\274n\303\257code"}
text{value="\xfcn"}
{__name__="text",value='plain'}
sum
avg{a="b"}
offset
bool
by
on
and
start
end
start{}
end()
group_left
without
inf
nan
{on="a"}
{offset="a",by="b",bool="c",sum="d"}
sum by (on, offset, bool, by, sum, start, end, inf, nan, and) (steps)
sum without (group_left, atan2, unless, n) (steps)
steps * on (sum) group_left (by) linear
rate
rate{}
label_replace(steps, "sum", "x", "n", "1")
iNf
nAn
+inf
-iNF
0xABC
0XAB
1e+3
.5e-3
1E3
0x
1e
1.e3
00
08
0.0
0777
1..2
.
1_000
0b1
0o7
SUM(steps)
Sum BY (group) (steps)
steps OFFSET 1m
steps AND steps
steps Or steps
steps UNLESS steps{n="1"}
steps == BOOL 1
steps * ON (group) GROUP_LEFT sum BY (group) (steps)
steps * Ignoring (n,even) Group_Left () sum WITHOUT (n,even) (steps)
TopK(1, many)
QUANTILE(0.5, steps)
COUNT_VALUES("v", steps)
steps ATAN2 steps
RATE(linear[5m])
linear @ START()
linear @ End()
sum by (group,) (steps)
sum by (,) (steps)
steps{group="a",}
steps{,group="a"}
steps * on (n,) steps
rate(linear[5m],)
sum(steps,)
label_replace(steps, "a", "b", "c", "d",)
linear [ 5m ]
linear[5m : 1m]
linear[ 5m:]
linear[5m :1m]
linear{}
linear { kind = "" }
linear	+	1
sum(linear)by(kind)
sum by(kind)(linear)
:a:b
a:
linear:
linear :
--1
-+1
+-linear
- - linear
1 - -1
1 - - - 1
2 ^ -1
2 ^ - 1
-1 ^ 2
-(1)
linear * -1
+linear
+(linear)
-(linear > 0)
-sum(linear)
!1
1 < bool 2 < bool 3
steps == steps == steps
steps > 0 > 1
1 > bool 2 == bool 0
steps or steps and steps unless steps
steps and steps or linear
linear + linear ^ 2 * 3
linear ^ 2 ^ 3
linear % 2 * 3
-linear % 2
steps atan2 steps ^ 2
steps and bool steps
steps + bool steps
steps or bool steps
1 + bool 2
rate(linear[5m])[5m:1m]
(rate(linear[5m]))[1m:15s]
sum(rate(linear[1m]))[2m:30s] offset 1m
time()[1m:1s]
(time())[1m:10s]
pi()[1m:10s]
1[1m:10s]
vector(1)[1m:30s]
"a"[1m:10s]
{__name__="linear"}[1m:]
linear[1m][1m:]
linear offset 1m [1m]
linear @ 5 [1m]
linear[1m] @ start() @ end()
linear @ start() offset 1m
linear offset 1m offset 2m
linear @ 1e3
linear @ 0x10
linear @ -1e3
linear @ 1.0005
linear @ 5.
linear @ .5
linear @ +5
linear @ - 5
linear @ "5"
linear @ AT.123
linear @AT
linear@AT
linear@start()
linear[1m]@end()
linear offset -1m30s
linear offset - 1m
linear offset 0s
linear offset -0s
linear[5m] offset 0s
linear[5m:30s] offset -1m @ AT
linear#comment
linear # comment "with quote
# only a comment
sum(steps) # by (n)
"#no comment"
steps{group="#"}
sum(steps) by (group) > 1 and on (group) steps
sum by (group) (steps) without (n)
sum by (group) without (n) (steps)
sum(steps) by (group) by (n)
sum by (group)
sum by (group) steps
topk by (group) (steps)
topk(1)(steps)
topk(1, 2)
topk(steps, steps)
quantile(steps, steps)
sum(1)
sum("a")
sum()
count()
absent()
absent(linear, linear)
absent(1)
rate()
rate(1)
rate(linear[5m], 1)
irate(linear)
foo()
foo
time(linear)
minute(1)
minute(linear, linear)
hour("a")
sort()
sort(linear[5m])
sort_desc(1)
vector()
vector(1, 2)
scalar()
label_join(1, "a", "b", "c")
label_join(linear, a, "b", "c")
histogram_quantile(0.9, linear[5m])
histogram_quantile(linear)
quantile_over_time(linear[5m], 0.5)
quantile_over_time("a", linear[5m])
predict_linear(linear, 5)
predict_linear(linear[5m], linear)
holt_winters(linear[5m], 0.1, 0.2, 0.3)
clamp(linear)
clamp(linear, 1, 2, 3)
clamp_min(linear)
round()
round(linear, 1, 2)
round(1)
steps group_left steps
steps + group_left () steps
steps + on (n) group_left group_right steps
steps + on (n) ignoring (n) steps
steps + ignoring (n) group_left (n) steps
steps + ignoring (n) group_left (group) steps
steps + on (n) group_right (n) steps
steps + on steps
steps + on n steps
steps and on (n) group_left () steps
1 + group_left () 2
1 + on () 2
1 + ignoring () 2
steps + on () 1
1 + on () steps
1 and steps
steps or 1
steps unless "a"
"a" == "b"
"a" == bool "b"
-"a"
(1)
((1))
()
( )
1 2
linear steps
linear{group="a"}steps
{}{}
{a}
{a=}
{="a"}
{a="b"
{a="b"}}
{a="b" b="c"}
{a="b";b="c"}
{a=="b"}
{a<>"b"}
{a~"b"}
{1a="b"}
{a.b="c"}
{a-b="c"}
{a:b="c"}
a:b{c="d"}
a.b
a-b
a$b
a&b
a;b
a,b
a'b'
$a
@
@ 5
5 @ 5
sum(linear) @ 5
sum(linear) offset 5m
1 offset 5m
(linear) offset 5m
(linear) @ 5
(linear[5m]) offset 1m
rate(linear[5m]) offset 1m
abs(linear offset 1m)
abs(linear) offset 1m
linear[]
linear[5x]
linear[m]
linear[5m1s]
linear[1s5m]
linear[1h1h]
linear[0m]
linear[5m:0s]
linear[5m:-1m]
linear[-5m:1m]
linear[:]
linear[:1m]
linear[5m::]
linear[5m:1m:1m]
linear[5 m]
linear[5m 1s]
linear[5M]
linear[5mS]
linear[1e3s]
linear[1.5m]
linear[0x5m]
linear[99999999999y]
linear offset 99999999999y
linear[300y]
linear @ 99999999999999999999
linear @ 1e400
linear @ 9223372036854775807
linear @ 9223372036854775
99999999999999999999
0xFFFFFFFFFFFFFFFF
0x1FFFFFFFFFFFFFFFF
0x7FFFFFFFFFFFFFFF
0x8000000000000000
9223372036854775807
9223372036854775808
07777777777777777777777
1e-400
-1e-400
4.9e-324
1.7976931348623157e308
1.7976931348623159e308
{value!~".*"}
{value!~".+"}
{value!~"x|"}
{value=~"x|"}
text{value!~".*"}
{value!~".*",src="plain-1"}
{n!~"",group!~"b|c"}
{n!~"1.*|"}
"""

# Functions, operators and modifiers at the ends of what they take.
MEANING = r"""
sum_over_time(linear[5m:1m] @ start() offset 2m)
max_over_time(linear[5m:] offset -2m)
max_over_time((linear @ end())[5m:1m])
max_over_time((linear offset -1m)[5m:1m] offset -30s)
min_over_time(min_over_time(linear[3m:1m] @ end())[5m:1m] @ start())
sum_over_time(linear[2m:1s] @ AT offset -1m)
linear @ end() offset 1m
linear offset -1m @ start()
absent_over_time(nothing[5m] offset 1m)
absent_over_time({job="a"}[5m])
absent_over_time({job="a",x!="b"}[5m:])
absent_over_time(nothing{a="b",a="c"}[5m])
absent_over_time(nothing{a=~"b"}[5m] @ AT)
absent(nothing{a=~"b",a="b"})
absent(-nothing{a="b"})
absent(rate(nothing{a="b"}[5m]))
absent(nothing{a="b"} or nothing{a="c"})
absent({__name__=~"nothing|none",a="b"})
sum_over_time(linear[1h30m])
sum_over_time(linear[1d])
linear offset 1w
linear offset 1m30s
sum_over_time(linear[1m30s500ms])
sum_over_time(linear[90000ms])
sum_over_time(linear[1y2w3d4h5m6s7ms])
linear offset 1ms
time() - timestamp(linear)
timestamp(sum(linear))
timestamp(linear > 0)
timestamp(linear[5m])
timestamp(max_over_time(linear[5m]))
timestamp(last_over_time(linear[5m]))
timestamp(1)
timestamp(time())
timestamp(linear or steps)
timestamp(timestamp(linear) offset 1m)
timestamp(sort(linear))
timestamp(label_replace(linear, "a", "b", "", ""))
vector(NaN)
vector(Inf)
vector("a")
scalar("a")
scalar(vector(1))
scalar(scalar(linear))
scalar(steps{n="1"} > 0)
scalar(constant{kind=""})
vector(scalar(steps))
count_values("le", steps)
count_values("", steps)
count_values("__name__", steps)
count_values("sum", steps)
count_values without () ("v", steps)
count_values by () ("v", steps)
count_values("n", steps)
count_values without (n) ("n", steps)
count_values("v", special)
count_values(1, steps)
count_values("a b", nothing)
topk(5, temperature)
bottomk(5, temperature)
topk(8, temperature)
topk by (job) (10, temperature)
sort(special)
sort_desc(special)
quantile(1.0001, steps)
quantile(-Inf, steps)
quantile(Inf, steps)
quantile(0.5, special)
quantile by (n) (0.5, special)
quantile_over_time(Inf, linear[5m])
quantile_over_time(0.5, special[5m])
quantile_over_time(0.5, nothing[5m])
quantile_over_time(0.5, once[1h])
quantile_over_time(1, special[1m])
quantile_over_time(0, special[1m])
label_replace(steps, "__name__", "$1_$2", "n", "(.)(.)")
label_replace(steps, "", "a", "n", ".*")
label_replace(steps, "a", "b", "", "")
label_replace(steps, "a", "b", "bad name", "")
label_replace(steps, "a", "$0", "n", "1.")
label_replace(steps, "a", "${n}", "n", "1(?P<n>.)")
label_replace(steps, "a", "${0}${1}", "n", "1(.)")
label_replace(steps, "a", "$-", "n", "1(.)")
label_replace(steps, "a", "${", "n", "1(.)")
label_replace(steps, "a", "${1", "n", "1(.)")
label_replace(steps, "a", "${}", "n", "1(.)")
label_replace(steps, "a", "$1é", "n", "1(.)")
label_replace(steps, "a", "$$1", "n", "1(.)")
label_replace(steps, "a", "$$$1", "n", "1(.)")
label_replace(steps, "group", "z", "group", "a|b")
label_replace(vector(1), "a", "b", "", "")
label_replace(sum(steps), "__name__", "b", "", "")
label_replace(1, "a", "b", "", "")
label_replace(steps, "n", "", "n", ".*")
label_replace(steps, "x", "y", "n", "[")
label_replace(steps, "x", "y", "n", "*")
label_replace(steps, "x", "y", "n", "a**")
label_replace(steps, "x", "y", "n", "\\8")
label_join(steps, "__name__", "", "group")
label_join(steps, "", ",", "n")
label_join(steps, "a", ",", "")
label_join(steps, "a", ",", "n", "n", "__name__")
label_join(steps, "n", ",", "nope")
label_join(vector(1), "a", "-", "b", "c")
label_join(steps, "a")
label_join(steps)
day_of_year()
day_of_year(vector(951782399))
day_of_year(vector(1230681600))
days_in_month(vector(1454284800))
days_in_month(vector(-2203891200))
month(vector(-1))
year(vector(NaN))
hour(vector(Inf))
minute(vector(0.999))
minute(vector(-0.5))
day_of_week(vector(-86401))
hour(timestamp(linear))
minute(vector(time()))
month(vector(1), vector(2))
histogram_quantile(0.9, {__name__=~"latency_.*"})
histogram_quantile(0.5, {__name__=~"latency_bucket|edge_bucket"})
histogram_quantile(0.5, latency_bucket{le!="+Inf"})
histogram_quantile(0.5, latency_bucket{le="+Inf"})
histogram_quantile(0.5, latency_bucket * NaN)
histogram_quantile(0.5, latency_bucket * -1)
histogram_quantile(0.5, latency_bucket * Inf)
histogram_quantile(0.5, -latency_bucket)
histogram_quantile(0.5, latency_bucket * 0)
histogram_quantile(1, rate(edge_bucket[2m]))
histogram_quantile(0, rate(edge_bucket[2m]))
histogram_quantile(0.5, count_values("le", steps))
histogram_quantile(0.5, label_replace(steps, "le", "$1", "n", "(.*)"))
histogram_quantile(0.5, label_replace(steps, "le", "0x1p$1", "n", "(.*)"))
histogram_quantile(0.5, label_replace(steps, "le", "1_$1", "n", "(.*)"))
histogram_quantile(0.5, label_replace(steps, "le", "infinity", "n", "1.*"))
histogram_quantile(0.5, label_replace(steps, "le", " $1", "n", "(.*)"))
histogram_quantile("0.5", latency_bucket)
predict_linear(steps[10m], -60)
predict_linear(steps[10m], NaN)
predict_linear(special[5m], 60)
predict_linear(linear[5m:1m], 60)
predict_linear(linear[15s], 60)
deriv(steps[10m])
deriv(special[5m])
deriv(once[5m])
deriv(linear[5m:17s])
holt_winters(special[5m], 0.3, 0.3)
holt_winters(linear[30s], 0.3, 0.3)
holt_winters(linear[5m], -0.1, 0.3)
holt_winters(linear[5m], 0.3, Inf)
stddev(special)
stdvar(special)
stddev by (n) (special)
stddev(once)
stdvar_over_time(special[5m])
stddev_over_time(once[1h])
group by (job) (temperature)
group without (n) (steps)
group(nothing)
atan2(1, 2)
1 atan2 2
steps atan2 on (n) steps
steps atan2 NaN
odd atan2 odd
steps and steps atan2 steps
max without () (temperature)
count without (__name__) ({__name__=~"left|right"})
sum by (__name__, x) ({__name__=~"left|right"})
sum without (x) ({__name__=~"left|right"})
min by (a, a, a) (steps)
last_over_time({__name__=~"left|right"}[1h])
present_over_time({__name__=~"left|right"}[1h])
count_over_time({__name__=~"left|right"}[1h])
rate({__name__=~"left|right"}[1h])
last_over_time(linear[5m:1m])
last_over_time(sum(linear)[5m:1m])
sgn({__name__=~"left|right"})
{__name__=~"left|right"} and on () linear
{__name__=~"left|right"} or steps
{__name__=~"left|right"} * on (x) group_left linear
{__name__=~"left|right"} == {__name__=~"left|right"}
{__name__=~"left|right"} == on (__name__) {__name__=~"left|right"}
{__name__=~"left|right"} == bool on (__name__) {__name__=~"left|right"}
{__name__=~"left|right"} * on (__name__) {__name__=~"left|right"}
steps * on (__name__, n) steps
steps * ignoring (__name__) steps
linear > on () group_right steps
steps + on (n) group_left (__name__) steps
steps > on (n) group_left (__name__) label_replace(steps, "__name__", "other", "", "")
steps == on (n) group_left (group) steps
steps * on (n) group_left (n) steps
steps * on (n) group_left (job) linear
linear * on () group_left (nope) linear
linear * on () group_right (nope) steps
steps == on () steps
steps == ignoring (n, even, group) steps
steps * on () group_left steps{n="1"}
steps{n="1"} * on () group_right steps
steps unless on () (steps > 100)
steps and on (nope) steps{n="1"}
steps or on () linear
steps{n="1"} or on () steps
steps or ignoring (n) linear
temperature and temperature > 60
temperature unless temperature > 60
temperature or build_info
clamp(linear, 10, 5)
clamp(steps, NaN, NaN)
clamp_max(special, NaN)
clamp_min(special, scalar(linear))
clamp(linear, "a", 1)
round(linear, 0.1)
round(linear, 1e300)
round(linear, NaN)
round(linear, Inf)
round(steps, -1)
round(steps / 2)
round(-(steps / 2))
round(vector(0.49999999999999994))
round(vector(-0.5))
round(vector(2.5), 5)
sqrt(vector(-1))
ln(vector(-1))
ln(vector(0))
exp(vector(1000))
acosh(vector(0.5))
atanh(vector(1))
deg(vector(pi()))
rad(vector(180))
pi() * 2
pi(1)
-pi()
irate(odd[2m])
idelta(special[2m])
increase(special[5m])
delta(once[1h])
rate(seldom[20m])
rate(seldom[10m])
increase(seldom[1h])
irate(seldom[15m])
changes(special[5m])
resets(special[5m])
changes(once[1h])
changes(build_info[1h])
resets(build_info[1h])
avg_over_time(build_info[10m])
sum_over_time(special[1m])
avg_over_time(special[1m])
max_over_time(special[1m])
avg(special)
sum(special)
avg by (n) (special)
max(special)
min(special)
count(special)
max by (n) (special)
rate(linear[1ms])
linear[1ms]
histogram_quantile(0.9, label_replace(latency_bucket, "__name__", "copy", "", "") or COPIED)
"""

COPIED = "on (__name__, le, instance, path) latency_bucket"
"""Two metrics with the same labels, in one vector."""

LONG_NUMBER = "9" * 320


def corners() -> str:
    """All of these."""
    return f"{SYNTAX}\n{LONG_NUMBER}\n{MEANING.replace('COPIED', COPIED)}"
