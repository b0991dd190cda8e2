# SPDX-License-Identifier: GPL-2.0-only
"""Why an expression of the Kconfig language has the value it has, down to what can be changed.

kconfiglib has no type information, hence ``Any`` for its symbols, choices and expressions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kconfiglib import AND, NOT, OR, TRI_TO_STR, Choice, Symbol, expr_str, expr_value, split_expr

from sku_build.kconfig.model import Reason, Request
from sku_build.kconfig.parser import definitions

# How many steps from the lost symbol are told, and how many names of a list.
_DEPTH = 3
_LISTED = 6


class Reasoner:
    """Answers about one lost symbol; what lies behind another symbol is told only once.

    ``requests`` are all requests, by symbol. Values needed are numbers: 1 is m, 2 is y.
    """

    def __init__(self, requests: Mapping[str, Request]) -> None:
        self._requests = requests
        self._told: set[Any] = set()

    def unmet(self, expression: Any, needed: int, depth: int = _DEPTH) -> list[Reason]:
        """Return why ``expression`` is below ``needed``, by its terms; nothing when it is not."""
        if expr_value(expression) >= needed:
            return []
        low = [term for term in split_expr(expression, AND) if expr_value(term) < needed]
        return _distinct(self._why_low(term, needed, depth) for term in low)

    def hidden(self, symbol: Any, needed: int, depth: int = _DEPTH) -> list[Reason]:
        """Return why no request can set ``symbol``, leaving its dependencies aside."""
        if symbol.visibility >= needed:
            return []
        prompts = [node for node in symbol.nodes if node.prompt]
        if not prompts:
            return [self._without_prompt(symbol, depth)]
        return [
            Reason(
                _prompt_condition(node),
                [f"{node.filename}:{node.linenr}"],
                self.unmet(node.prompt[1], needed, depth - 1),
            )
            for node in prompts
        ]

    def selectors(self, symbol: Any, limit: int) -> list[Reason]:
        """Return what selects ``symbol`` to a value above ``limit``."""
        return _distinct(
            Reason(
                f"selected by {other.name}, which is {other.str_value}",
                definitions(other),
                [self.origin(other)] if other.name in self._requests else [],
            )
            for term in _alternatives(symbol.rev_dep)
            if expr_value(term) > limit
            for other in (_selector(term),)
        )

    def origin(self, symbol: Any) -> Reason:
        """Return the line that asks for ``symbol``, or that none does."""
        request = self._requests.get(symbol.name)
        if request is not None:
            return Reason(f"{symbol.name} is requested as {request.value}", [str(request.place)])
        return Reason(f"{symbol.name} is not requested, it comes by default", definitions(symbol))

    def _why_low(self, term: Any, needed: int, depth: int) -> Reason:
        if isinstance(term, Symbol):
            return self._symbol_low(term, needed, depth)
        text = f"{expr_str(term)} is {TRI_TO_STR[expr_value(term)]}"
        if isinstance(term, Choice):
            return Reason(text, definitions(term), self.hidden(term, needed, depth - 1))
        if term[0] is OR and depth:
            parts = split_expr(term, OR)
            return Reason(
                text, [], _distinct(self._why_low(part, needed, depth - 1) for part in parts)
            )
        if term[0] is AND and depth:
            return Reason(text, [], self.unmet(term, needed, depth - 1))
        if term[0] is NOT and isinstance(term[1], Symbol):
            return self._symbol_high(term[1])
        return Reason(text, [], _distinct(_valued(symbol) for symbol in _symbols(term)))

    def _symbol_low(self, symbol: Any, needed: int, depth: int) -> Reason:
        if symbol.is_constant:
            return Reason("it can never be set in this kernel")
        if not symbol.nodes:
            return Reason(f"{symbol.name} is not defined for this architecture")
        because = [self.origin(symbol)] if symbol.name in self._requests else []
        if depth and symbol not in self._told:
            self._told.add(symbol)
            because += self.unmet(symbol.direct_dep, needed, depth - 1) or self._way_to_set(
                symbol, needed, depth
            )
        return Reason(f"{symbol.name} is {symbol.str_value}", definitions(symbol), because)

    def _way_to_set(self, symbol: Any, needed: int, depth: int) -> list[Reason]:
        if symbol.visibility < needed:
            return self.hidden(symbol, needed, depth)
        if symbol.name in self._requests:
            return []
        return [Reason(f"nothing stands in its way: request CONFIG_{symbol.name}=y")]

    def _symbol_high(self, symbol: Any) -> Reason:
        because = self.selectors(symbol, 0)
        if symbol.name in self._requests:
            because.insert(0, self.origin(symbol))
        return Reason(f"{symbol.name} is {symbol.str_value}", definitions(symbol), because)

    def _without_prompt(self, symbol: Any, depth: int) -> Reason:
        terms = _alternatives(symbol.rev_dep)
        sources = [f"selected by {_selections(symbol, terms)}"] if terms else []
        sources += [
            f"default {expr_str(value)}{_condition(condition)}"
            for value, condition in symbol.orig_defaults[:_LISTED]
        ]
        told = "; ".join(sources) or "nothing selects it"
        return Reason(
            f"{symbol.name or 'it'} has no prompt, so that no request can set it ({told})",
            [],
            self.unmet(terms[0], 1, depth - 1) if len(terms) == 1 and depth else [],
        )


def _distinct(reasons: Iterator[Reason]) -> list[Reason]:
    by_text: dict[str, Reason] = {}
    for reason in reasons:
        by_text.setdefault(reason.text, reason)
    return list(by_text.values())


def _prompt_condition(node: Any) -> str:
    condition = _condition(node.orig_prompt[1])
    return f"its prompt shows only{condition}" if condition else "its prompt does not show"


def _condition(expression: Any) -> str:
    always = isinstance(expression, Symbol) and expression.name == "y" and expression.is_constant
    return "" if always else f" if {expr_str(expression)}"


def _selections(symbol: Any, terms: list[Any]) -> str:
    texts = []
    for term in terms[:_LISTED]:
        other = _selector(term)
        # The term itself also holds all that the selecting symbol depends on.
        conditions = [condition for target, condition in other.orig_selects if target is symbol]
        written = _condition(conditions[0]) if conditions else ""
        texts.append(f"{other.name}{written} ({TRI_TO_STR[expr_value(term)]})")
    more = len(terms) - _LISTED
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _valued(symbol: Any) -> Reason:
    return Reason(f"{symbol.name} is {symbol.str_value or 'empty'}", definitions(symbol))


def _symbols(expression: Any) -> Iterator[Any]:
    if isinstance(expression, tuple):
        for part in expression[1:]:
            yield from _symbols(part)
    elif isinstance(expression, Symbol) and expression.nodes:
        yield expression


def _alternatives(expression: Any) -> list[Any]:
    # Of a symbol that nothing selects the reverse dependency is the constant n.
    terms = split_expr(expression, OR)
    return [term for term in terms if not getattr(term, "is_constant", False)]


def _selector(term: Any) -> Any:
    return split_expr(term, AND)[0]
