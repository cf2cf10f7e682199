"""The command line: `ophion-agent COMMAND`.

Exit codes: 0 done; 1 failed while running; 2 the configuration or the command line is wrong.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence

from ophion_agent.errors import ConfigError, OphionError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser(_first_word(given)).parse_args(given)
    command: Command = options.command
    try:
        return command(options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        print(f"{len(error.problems)} problem(s); nothing was started", file=sys.stderr)
        return 2
    except OphionError as error:
        print(f"ophion-agent: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _first_word(arguments: Sequence[str]) -> str:
    return next((argument for argument in arguments if not argument.startswith("-")), "")


def build_parser(wanted: str = "") -> argparse.ArgumentParser:
    """Return the parser of all commands; plugins are loaded for theirs only if `wanted` is none of the framework's."""
    from ophion_agent import cli_live, cli_plugin, cli_test
    from ophion_agent.agent import agent_version
    from ophion_agent.registry import add_plugin_commands

    parser = argparse.ArgumentParser(prog="ophion-agent", description="Observability agent: pipelines of plugins.")
    parser.add_argument("--version", action="version", version=f"ophion-agent {agent_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = _add(commands, "run", _run, "run the agent until SIGINT or SIGTERM; SIGHUP reloads")
    validate = _add(commands, "validate", _validate, "check a configuration and print every problem")
    show = _add(commands, "print-config", _print_config, "print the effective configuration, secrets redacted")
    show.add_argument("--defaults", action="store_true", help="print every option, also those left at their default")
    for command in (run, validate, show):
        add_config_options(command)
    components = _add(commands, "components", _components, "list every component that can be configured")
    components.add_argument("--json", action="store_true", help="print JSON")
    schema = _add(commands, "schema", _schema, "print the JSON Schema of the configuration")
    for command in (components, schema):
        command.add_argument("--plugin-dir", action="append", default=[], help="also load the plugins in this folder")
    for module in (cli_live, cli_test, cli_plugin):
        module.add_commands(commands)
    if wanted not in commands.choices:
        for plugin in add_plugin_commands(commands):
            print(f"ophion-agent: plugin {plugin.name} ({plugin.origin}): {plugin.error}", file=sys.stderr)
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    return parser


def add_config_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add --config and --set."""
    parser.add_argument(
        "--config", action="append", required=required, default=None, metavar="FILE", help="YAML file; later ones win"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", dest="sets", help="override one option"
    )


def _run(options: argparse.Namespace) -> int:
    from ophion_agent.agent import Agent, Sources
    from ophion_agent.cli_print import print_banner

    # grpc reads these when it is imported: senders could make it write to the console, and a fork would warn.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    agent = Agent(Sources(options.config, options.sets))
    try:
        import uvloop
    except ImportError:
        asyncio.run(agent.run(print_banner))
    else:
        uvloop.run(agent.run(print_banner))
    return 0


def _validate(options: argparse.Namespace) -> int:
    from ophion_agent.agent import Sources

    checked, _ = Sources(options.config, options.sets).read()
    for warning in checked.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if checked.plan is None:
        raise ConfigError(checked.problems)
    print(f"{', '.join(options.config)}: valid, {len(checked.plan.pipelines)} pipeline(s)")
    return 0


def _print_config(options: argparse.Namespace) -> int:
    from ophion_agent.agent import Sources
    from ophion_agent.printing import effective_yaml

    plan, _ = Sources(options.config, options.sets).plan()
    print(effective_yaml(plan, defaults=options.defaults), end="")
    return 0


def _components(options: argparse.Namespace) -> int:
    from ophion_agent.cli_print import component_rows, print_components

    rows, broken = component_rows(options.plugin_dir)
    if options.json:
        print(json.dumps({"components": rows, "broken": broken}, indent=2))
    else:
        print_components(rows, broken)
    return 0


def _schema(options: argparse.Namespace) -> int:
    from pathlib import Path

    from ophion_agent.printing import schema_of
    from ophion_agent.registry import load_registry
    from ophion_agent.settings import ServiceSettings

    registry = load_registry(Path(folder) for folder in options.plugin_dir)
    schema = schema_of([registered.component for registered in registry.components()], ServiceSettings)
    print(json.dumps(schema, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
