"""Write the dashboard's typed client from the OpenAPI document of every bundled plugin.

python scripts/generate_api_client.py            # rewrite the file
python scripts/generate_api_client.py --check    # fail when it is out of date

Needs the packages of plugins/ophion_dashboard/ui (`npm ci`). The protocols of other programs are left out.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from generate_api_docs import bundled_routes

from ophion_agent.registry import load_registry
from ophion_api.openapi import openapi_document

UI: Final = Path(__file__).resolve().parent.parent / "plugins" / "ophion_dashboard" / "ui"
CLIENT: Final = UI / "src" / "api" / "schema.d.ts"
_FOREIGN: Final = ("/api/v1/", "/jaeger/", "/loki/")


def main(arguments: list[str]) -> int:
    """Rewrite the client, or with --check say whether it is up to date."""
    wanted = client(own_part(openapi_document(bundled_routes(load_registry()), "")))
    if "--check" not in arguments:
        CLIENT.write_text(wanted, encoding="utf-8")
        return 0
    is_current = CLIENT.is_file() and CLIENT.read_text(encoding="utf-8") == wanted
    if not is_current:
        sys.stderr.write(f"{CLIENT} is out of date; run python scripts/generate_api_client.py\n")
    return int(not is_current)


def own_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document without the paths of other programs' protocols."""
    paths = {path: item for path, item in document["paths"].items() if not path.startswith(_FOREIGN)}
    return {**document, "paths": paths}


def client(document: Mapping[str, Any]) -> str:
    """Return the TypeScript declarations of a document."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "openapi.json"), Path(folder, "schema.d.ts")
        source.write_text(json.dumps(document), encoding="utf-8")
        command = [UI / "node_modules" / ".bin" / "openapi-typescript", source, "--output", target, "--root-types"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return target.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
