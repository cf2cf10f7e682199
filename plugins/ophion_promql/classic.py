"""The classic form of an expression over native histograms, so that one query serves both kinds.

`histogram_quantile(0.9, sum by (job) (rate(x[5m])))` means the buckets `x_bucket` where `x` has no samples of its own.
"""

from dataclasses import replace

from ophion_promql.nodes import Aggregate, Binary, Call, Matcher, Node, Range, Selector, type_of


def classic_form(node: Node) -> Node | None:
    """Return an expression over `x` as one over `x_bucket` that keeps `le`, or None where there is no such form."""
    match node:
        case Selector():
            return _buckets_of(node)
        case Range():
            selector = _buckets_of(node.selector)
            return None if selector is None else replace(node, selector=selector)
        case Call(name="rate" | "increase" | "delta"):
            inner = classic_form(node.arguments[0])
            return None if inner is None else replace(node, arguments=(inner,))
        case Aggregate(op="sum" | "avg"):
            return _aggregated(node)
        case Binary(op="*" | "/") if "scalar" in (type_of(node.left), type_of(node.right)):
            return _scaled(node)
    return None


def _buckets_of(node: Selector) -> Selector | None:
    names = [matcher.value for matcher in node.matchers if matcher.name == "__name__"]
    if len(names) != 1 or not node.one_name or names[0].endswith("_bucket"):
        return None
    rest = tuple(matcher for matcher in node.matchers if matcher.name != "__name__")
    return replace(node, matchers=(Matcher("__name__", "=", f"{names[0]}_bucket"), *rest))


def _aggregated(node: Aggregate) -> Aggregate | None:
    inner = classic_form(node.expression)
    others = tuple(label for label in node.labels if label != "le")
    return (
        None if inner is None else replace(node, expression=inner, labels=others if node.without else (*others, "le"))
    )


def _scaled(node: Binary) -> Binary | None:
    left, right = (side if type_of(side) == "scalar" else classic_form(side) for side in (node.left, node.right))
    return None if left is None or right is None else replace(node, left=left, right=right)
