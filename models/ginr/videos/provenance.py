"""How a video was made, as JSON in a text of its container that is called `ginr`."""

import json
from collections.abc import Mapping

_TAG, _MAX = "ginr", 20_000


def with_tag(texts: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """The texts of a container with these facts in place of earlier ones."""
    kept = {key: text for key, text in texts.items() if key.lower() != _TAG}
    return {**kept, _TAG: json.dumps(dict(facts))}


def facts_of(texts: Mapping[str, str]) -> dict[str, str]:
    """The facts that `with_tag` has put into the texts of a container; empty if there are none."""
    text = next((text for key, text in texts.items() if key.lower() == _TAG), "")
    try:
        facts = json.loads(text[:_MAX])
    except (ValueError, RecursionError):
        return {}
    items = facts.items() if isinstance(facts, dict) else ()
    return {name: fact for name, fact in items if isinstance(fact, str)}
