"""Relabelling: rules that change, keep or drop a set of labels, as Prometheus applies them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from barograph.config import option, options
from barograph_prometheus.labelling import is_label_name

ACTIONS = ("replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep",
           "lowercase", "uppercase", "keepequal", "dropequal")  # fmt: skip

_NEED_TARGET = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)

MAX_CACHED = 4096

Labels = dict[str, str]


def _regex(text: str) -> None:
    compiled(text)


@options
class Relabel:
    """One rule: ``[[...relabel_configs]]``."""

    source_labels: tuple[str, ...] = option((), help="Labels whose values are joined")
    separator: str = option(";", help="Text between the joined values")
    regex: str = option("(.*)", help="What the whole joined value must match", check=_regex)
    modulus: int = option(0, help="For hashmod: the value is a hash modulo this", minimum=0)
    target_label: str = option("", help="The label that is written")
    replacement: str = option("$1", help="The value, with $1 or ${name} for groups of regex")
    action: str = option("replace", help="What is done", choices=ACTIONS)

    def __attrs_post_init__(self) -> None:
        if self.action in _NEED_TARGET and not self.target_label:
            raise ValueError(f'action "{self.action}" needs a "target_label"')
        if self.action == "hashmod" and not self.modulus:
            raise ValueError('action "hashmod" needs a "modulus"')
        plain = self.action in ("hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
        if plain and not is_label_name(self.target_label):
            raise ValueError(f'"target_label": {self.target_label!r} is no label name')


def compiled(text: str) -> Any:
    """An RE2 expression. Raises ValueError with what is wrong."""
    import re2

    options = re2.Options()
    options.dot_nl, options.log_errors = True, False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as error:
        why = error.args[0] if error.args else ""
        told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(error)
        raise ValueError(f"bad regular expression {text!r:.80}: {told}") from None


def relabeller(rules: Sequence[Relabel]) -> Callable[[Mapping[str, str]], Labels | None]:
    """All rules in order; None: the labels are dropped. Empty values are left out."""
    steps = [_Step(rule, compiled(rule.regex)) for rule in rules]

    def apply(labels: Mapping[str, str]) -> Labels | None:
        out = dict(labels)
        for step in steps:
            if not step(out):
                return None
        return {k: v for k, v in out.items() if v != ""}

    return apply


@attrs.frozen
class _Step:
    rule: Relabel
    regex: Any

    def __call__(self, labels: Labels) -> bool:
        """Change ``labels``; whether they are kept."""
        rule, action = self.rule, self.rule.action
        if action.startswith("label"):
            self._names(labels)
            return True
        value = rule.separator.join(labels.get(name, "") for name in rule.source_labels)
        if action == "replace":
            self._replace(labels, value)
        elif action == "hashmod":
            digest = hashlib.md5(value.encode(), usedforsecurity=False).digest()
            labels[rule.target_label] = str(int.from_bytes(digest[8:]) % rule.modulus)
        elif action == "lowercase":
            labels[rule.target_label] = value.lower()
        elif action == "uppercase":
            labels[rule.target_label] = value.upper()
        elif action in ("keepequal", "dropequal"):
            same = labels.get(rule.target_label, "") == value
            return same == (action == "keepequal")
        else:
            return (self.regex.fullmatch(value) is not None) == (action == "keep")
        return True

    def _replace(self, labels: Labels, value: str) -> None:
        found = self.regex.fullmatch(value)
        if found is None:
            return
        target = expanded(self.rule.target_label, found)
        text = expanded(self.rule.replacement, found)
        if not is_label_name(target) or not text:
            labels.pop(self.rule.target_label, None)
        else:
            labels[target] = text

    def _names(self, labels: Labels) -> None:
        rule = self.rule
        matches = {name: self.regex.fullmatch(name) for name in list(labels)}
        if rule.action == "labelmap":
            for name, found in matches.items():
                if found is not None:
                    labels[expanded(rule.replacement, found)] = labels[name]
            return
        keep = rule.action == "labelkeep"
        for name, found in matches.items():
            if (found is not None) != keep:
                del labels[name]


def expanded(template: str, found: Any) -> str:
    """``template`` with the groups of a match: $1, ${1}, $name; $$ is a dollar."""

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, template) if "$" in template else template
