from __future__ import annotations

from coti.commands.exit_codes import EXIT_CODES
from ops.retraining import EXIT_CODES as RETRAINING
from tools.commands_reference import JSON, PAGE, every_command, reference


def test_the_page_is_up_to_date() -> None:
    """`python -m tools.commands_reference` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_what_json_holds_is_said_of_each_that_has_it() -> None:
    """And of no other."""
    own = {
        words
        for words, context in every_command()
        if any("--json" in each.opts for each in context.command.params)
    }
    assert set(JSON) == own


def test_exit_codes_are_in_order_and_complete() -> None:
    """Each once a meaning; a CI's of retraining are among them."""
    codes = [each.code for each in EXIT_CODES]
    assert codes == sorted(codes)
    assert len({(each.code, each.commands) for each in EXIT_CODES}) == len(EXIT_CODES)
    assert {*RETRAINING.values(), 2, 3, 4, 5, 20, 130, 141, 143} <= set(codes)
