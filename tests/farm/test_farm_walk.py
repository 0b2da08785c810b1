import shlex

import click.testing
import walk

from synth.cli.farm import farm


def test_the_page_still_holds_the_walk_of_a_new_user() -> None:
    page = walk.commands(walk.PAGE.read_text(encoding="utf-8"))
    assert [words[2] for words in page] == ["plan", "certs", "scheduler", "worker", "submit", "collect"]
    for words in page:  # catches an option that the page names and the command has lost
        told = click.testing.CliRunner().invoke(farm, [words[2], "--help"]).output
        assert [word for word in words if word.startswith("--") and word not in told] == [], shlex.join(words)
