"""`ophion-agent server ...`: the group of commands that several plugin families add to."""

import argparse

Parsers = argparse._SubParsersAction  # what add_subparsers() returns has no public name


def server_group(commands: "Parsers[argparse.ArgumentParser]") -> "Parsers[argparse.ArgumentParser]":
    """Return the sub-commands of `server`, made at the first call."""
    if "server" not in commands.choices:
        return command_group(commands, "server", "administer a server: users, keys, tenants, backups")
    parser = commands.choices["server"]
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def command_group(
    parent: "Parsers[argparse.ArgumentParser]", name: str, text: str
) -> "Parsers[argparse.ArgumentParser]":
    """Add a command that only has commands of its own, and return those."""
    parser = parent.add_parser(name, help=text, description=text)
    return parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
